"""L2. Tasks: what is learnt, and how knowing it is tested; each a plugin, by the name that chooses it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from selfedit.config import RunConfig, TaskSettings
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.plugins import by_name, load_plugins
from selfedit.protocols import Task
from selfedit.tasks.arc.task import ARC
from selfedit.tasks.documents.task import DOCUMENTS
from selfedit.tasks.episodes.task import EPISODES
from selfedit.tasks.passages.task import PASSAGES, PassagesTask, load_passages
from selfedit.tasks.plugin import TaskPlugin
from selfedit.tasks.probe import load_probe
from selfedit.tasks.streams.task import STREAM

TASKS: Mapping[str, TaskPlugin] = {
    "passages": PASSAGES,
    "documents": DOCUMENTS,
    "episodes": EPISODES,
    "stream": STREAM,
    "arc": ARC,
}
"""Those that come with the package, by name."""
C = TypeVar("C", bound=RunConfig)
GROUP = "selfedit.tasks"
"""Entry points of further tasks; each names a `TaskPlugin`."""


@cache
def all_tasks() -> Mapping[str, TaskPlugin]:
    """Those that come with the package, then those of other packages.

    Raises:
        SelfeditError: an entry point that cannot be loaded, names no task, or has settings that a run has itself.
    """
    further = load_plugins(GROUP, TaskPlugin)
    for plugin in further:
        if clash := sorted(set(plugin.settings.model_fields) & set(RunConfig.model_fields)):
            raise SelfeditError(f"task {plugin.name}: its setting {clash[0]} is a run's own; rename it")
    return by_name(GROUP, TASKS, further)


def find_task(name: str) -> TaskPlugin:
    """The task called so.

    Raises:
        SettingError: there is none.
    """
    if name not in all_tasks():
        raise SettingError(Field("task"), f" {name}: unknown; choose from {', '.join(all_tasks())}")
    return all_tasks()[name]


def with_task_args(values: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings as read from a file: what belongs to the task becomes its record; it may stand flat among the
    others, as flags do.

    Raises:
        SettingError: the task is unknown.
    """
    plugin = find_task(str(values.get("task") or "passages"))
    given = dict(values)
    held = given.pop("task_args", {})
    own = dict(held) if isinstance(held, Mapping) else held.model_dump()
    own |= {name: given.pop(name) for name in plugin.settings.model_fields if name in given}
    return {**given, "task": plugin.name, "task_args": plugin.settings(**own)}


def with_own_settings(config: C) -> C:
    """The same run, its task's settings a record of the task's own type: from Python they may come as a mapping or a
    plain `TaskSettings`, of which what was set counts.

    Raises:
        SettingError: the task is unknown.
    """
    if type(config.task_args) is not TaskSettings:
        return config
    own = find_task(config.task).settings(**config.task_args.model_dump(exclude_unset=True))
    return config.model_copy(update={"task_args": own})


def load_task(config: RunConfig) -> Task:
    """The task that a run names.

    Raises:
        SelfeditError: there is none such, its data cannot be used, or the grader is not for it.
    """
    plugin = find_task(config.task)
    if config.grader not in plugin.graders:
        why = f" {config.task}: ", Field("grader"), f" {config.grader} is not for it; choose from "
        raise SettingError(Field("task"), *why, ", ".join(plugin.graders))
    settings = with_own_settings(config).task_args
    if not isinstance(settings, plugin.settings):
        told = f" {type(settings).__name__} is not for the task {config.task}; give a {plugin.settings.__name__}"
        raise SettingError(Field("task_args"), told)
    return plugin.load(settings, config)


__all__ = [
    "TASKS",
    "PassagesTask",
    "TaskPlugin",
    "all_tasks",
    "find_task",
    "load_passages",
    "load_probe",
    "load_task",
    "with_own_settings",
    "with_task_args",
]
