"""L3. Many engines as one."""

from selfedit.executors.pool import EnginePool

__all__ = ["EnginePool"]
