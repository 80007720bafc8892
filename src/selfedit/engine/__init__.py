"""L1. The only home of torch: a model that writes, is adapted in groups, and answers."""

from selfedit.engine.core import TorchEngine, load_engine
from selfedit.engine.devices import probe

__all__ = ["TorchEngine", "load_engine", "probe"]
