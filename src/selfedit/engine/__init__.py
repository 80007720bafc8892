"""L1. The only home of torch: a model that writes, is adapted in groups, and answers."""

from selfedit.engine.engine import TorchEngine, load_engine
from selfedit.engine.model.devices import measure_device

__all__ = ["TorchEngine", "load_engine", "measure_device"]
