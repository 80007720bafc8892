"""L2. A task as a plugin: everything that the rest of the package knows of it, in one record.

A package adds its own under the entry-point group `selfedit.tasks`, where each entry names a `TaskPlugin`
(docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from selfedit.config import RunConfig, TaskSettings
from selfedit.protocols import Task

TEXT_GRADERS = ("contains", "exact", "f1", "calibrated", "judge")
"""Graders of answers in words."""


@dataclass(frozen=True, slots=True)
class TaskPlugin:
    """What is learnt, as the package knows it."""

    name: str
    """As in the run's `task`."""
    noun: str
    """What a context is called in tables and sentences, e.g. `passage`."""
    settings: type[TaskSettings]
    """The task's own settings; each field is a flag of every command that runs it."""
    load: Callable[[TaskSettings, RunConfig], Task]
    """(its settings, the run) → the task. Raises SelfeditError on what cannot be used."""
    methods: tuple[str, ...]
    """Methods of `eval` that fit it, by name."""
    baselines: tuple[str, ...]
    """Those by which a training run tests held-out contexts before its first round."""
    recipe_for: Callable[[str], str]
    """Model's name → the recipe that holds its defaults; empty: those of the settings themselves."""
    eval_methods: str = "base,synthetic"
    """What `eval` compares where nothing is said."""
    graders: tuple[str, ...] = TEXT_GRADERS
    """Graders that fit its answers."""
    is_joint: bool = True
    """Whether contexts can be learnt together: in one trial (the setting `cpt`), or one after another by one model."""
    count: Callable[[TaskSettings, RunConfig], Mapping[str, int]] | None = None
    """What its data hold beside contexts and questions, such as pages, for `doctor`."""
    report: Literal["contexts", "puzzles"] = "contexts"
    """Which pages tell its runs: accuracy and log-probability by question, or success by context."""
