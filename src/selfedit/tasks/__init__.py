"""L2. Tasks: what is learnt, and how knowing it is tested; each by the name that chooses it."""

from collections.abc import Callable

from selfedit.config import RunConfig
from selfedit.seams import KnowledgeTask
from selfedit.tasks.arc.task import load_arc
from selfedit.tasks.passages import PassagesTask, load_passages, passages_of
from selfedit.tasks.retention import load_probe

TASKS: dict[str, Callable[[RunConfig], KnowledgeTask]] = {"passages": passages_of, "arc": load_arc}
"""From a run's config to its task; raises SelfeditError, in one line, on what cannot be used."""

__all__ = ["TASKS", "PassagesTask", "load_passages", "load_probe"]
