"""L2. What is learnt, and how knowing it is tested."""

from selfedit.tasks.passages import PassagesTask, load_passages

__all__ = ["PassagesTask", "load_passages"]
