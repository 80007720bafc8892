"""L3. Where trials run."""

from selfedit.executors.local import LocalExecutor

EXECUTORS = {"local": LocalExecutor}
"""Each executor by the name that chooses it on the command line; made from the engine."""

__all__ = ["EXECUTORS", "LocalExecutor"]
