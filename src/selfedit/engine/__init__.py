"""L1. The only home of torch: a model that writes, is adapted in groups, and answers."""

from selfedit.engine.engine import TorchEngine, load_engine
from selfedit.engine.model.devices import limit_threads, measure_device
from selfedit.engine.model.loading import token_counter

__all__ = ["TorchEngine", "limit_threads", "load_engine", "measure_device", "token_counter"]
