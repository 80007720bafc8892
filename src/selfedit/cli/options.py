"""L5. From words to a command: defaults come from a recipe, then from `--config FILE`, then from flags.

The command line is read twice. First recipe, model and task are looked up, for they decide which defaults there are and
which flags the task adds; then tyro reads it whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
import yaml
from pydantic import ValidationError, create_model

from selfedit.cli.output import JsonCommand
from selfedit.config import EMBEDDED_MODEL, RunConfig
from selfedit.errors import SelfeditError, flag
from selfedit.loop import EvalConfig, TrainConfig
from selfedit.loop.methods import all_methods
from selfedit.recipes import find_recipe
from selfedit.store.run_folder import check_schema
from selfedit.tasks import TaskPlugin, find_task, with_task_args

C = TypeVar("C", bound=RunConfig)
_MOST_BYTES = 1 << 18
"""Of a settings file. A run's own config.json has some thousands."""


class _UnfitError(yaml.MarkedYAMLError):
    """YAML that settings do without."""


class _Settings(yaml.SafeLoader):
    """YAML as settings need it: no aliases, of which a few lines make a value without end; no name twice, for one of
    its values would be lost; 1:30 is text and no number to the base of 60."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuses an alias."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise _UnfitError(problem="an alias (*) is not taken here; write the value itself", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuses a name that stands twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value).replace("-", "_")
            if name in seen:
                raise _UnfitError(problem=f"{name[:40]} stands twice; leave one out", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """A number, unless it has a colon."""
        if ":" in node.value:
            return node.value
        is_int = node.tag.endswith(":int")
        return self.construct_yaml_int(node) if is_int else self.construct_yaml_float(node)


for _tag in ("int", "float"):
    _Settings.add_constructor(f"tag:yaml.org,2002:{_tag}", _Settings.construct_number)


def with_settings(command: type[JsonCommand], kind: type[RunConfig], words: Sequence[str]) -> JsonCommand:
    """A command of this type with its settings' defaults, and with the flags of its task."""
    defaults = load_defaults(kind, words)
    plugin = find_task(defaults.task)
    settings = _with_task_flags(kind, plugin)
    annotated = Annotated[settings, tyro.conf.arg(name="")]  # type: ignore[valid-type]  # made at run time
    made = make_dataclass(command.__name__, [("settings", annotated)], bases=(command,), frozen=True, kw_only=True)
    made.__doc__ = command.__doc__
    default: JsonCommand = made(settings=settings(**dict(defaults)))
    return default


def load_defaults(kind: type[C], words: Sequence[str]) -> C:
    """The settings before flags: the recipe that the flags or the file name, overlaid with the file.

    Raises:
        SelfeditError: an unknown recipe or task; a file that cannot be read or does not fit.
    """
    path = peek(words, "--config")
    given = _load_config(Path(path)) if path else {}
    if kind.model_fields["task"].default != RunConfig.model_fields["task"].default:
        return _own_defaults(kind, path, given)
    model = peek(words, "--model") or str(given.get("model") or EMBEDDED_MODEL)
    name = peek(words, "--recipe") or str(given.get("recipe") or "")
    task = peek(words, "--task") or str(given.get("task") or "")
    recipe = find_recipe(name, model, task)
    plugin = find_task(task or recipe.task)
    shared = kind.model_fields if kind is TrainConfig else RunConfig.model_fields
    values = {name: value for name, value in dict(recipe).items() if name in shared}
    if kind is EvalConfig:
        values["methods"] = plugin.eval_methods
    if recipe.task != plugin.name:
        values["task_args"] = plugin.settings()
    own = plugin.settings.model_fields
    given_args = {**given.pop("task_args", {}), **{name: given.pop(name) for name in list(given) if name in own}}
    values["task_args"] = {**values["task_args"].model_dump(), **given_args}
    return _validated(kind, path, _overlay(values, {**given, "recipe": recipe.recipe, "task": plugin.name}))


def _own_defaults(kind: type[C], path: str, given: dict[str, Any]) -> C:
    """Of settings that are for one task alone, and that no recipe knows: their own, overlaid with the file."""
    values = kind()
    own = type(values.task_args).model_fields
    given_args = {**given.pop("task_args", {}), **{name: given.pop(name) for name in list(given) if name in own}}
    below = {**dict(values), "task_args": values.task_args.model_dump()}
    return _validated(kind, path, _overlay(below, {**given, "task_args": given_args}))


def _validated(kind: type[C], path: str, values: dict[str, Any]) -> C:
    try:
        return kind.model_validate(with_task_args(values))
    except ValidationError as error:
        raise SelfeditError(f"{path}: {explain(error)}" if path else explain(error)) from error


def peek(words: Sequence[str], name: str) -> str:
    """The value of a flag before the command line is read; the last one counts."""
    value = ""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == name:
            value = following
        elif word.startswith(f"{name}="):
            value = word.removeprefix(f"{name}=")
    return value


def explain(error: ValidationError) -> str:
    """What is wrong with settings, in one line, by the names of flags."""
    parts = []
    for problem in error.errors():
        name = ".".join(map(str, problem["loc"])).removeprefix("task_args.")
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = "no such setting"
        parts.append(f"{flag(name)}: {message}" if name else message)
    return "; ".join(parts)


def _with_task_flags(kind: type[C], plugin: TaskPlugin) -> type[C]:
    """The settings' type with the task's own in the place of `task_args`, so that each is a flag."""
    annotated = Annotated[plugin.settings, tyro.conf.arg(name="")]  # type: ignore[name-defined]  # made at run time
    flags: dict[str, Any] = {"task_args": (annotated, ...)}
    if kind is EvalConfig:
        methods = EvalConfig.model_fields["methods"]
        told = tyro.conf.arg(help=f"Rows of the table, joined by commas. {_methods_of(plugin)}")
        flags["methods"] = (Annotated[str, told], methods.default)
    made: type[C] = create_model(kind.__name__, __base__=kind, __doc__=kind.__doc__, **flags)
    return made


def _methods_of(plugin: TaskPlugin) -> str:
    """Every method that suits a task, with what it is."""
    fit = [one for one in all_methods().values() if one.name in plugin.methods or plugin.name in one.tasks]
    listed = "; ".join(f"{one.name}{':PROMPT' * one.takes_prompt}: {one.help}" for one in fit)
    return f"{listed}."


def _load_config(path: Path) -> dict[str, Any]:
    try:
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise SelfeditError(f"--config {path}: is larger than {_MOST_BYTES >> 10} KiB; that is no settings file")
        held = yaml.load(path.read_text(encoding="utf-8"), _Settings)
    except OSError as error:
        raise SelfeditError(f"--config {path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SelfeditError(f"--config {path}: is not UTF-8 text") from None
    except RecursionError:
        raise SelfeditError(f"--config {path}: nested too deep; settings have two levels") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        why = error.problem if isinstance(error, _UnfitError) else "neither JSON nor YAML"
        raise SelfeditError(f"--config {place}: {why}") from None
    except ValueError as error:
        raise SelfeditError(f"--config {path}: holds a value that is none ({error}); put texts in quotes") from None
    if isinstance(held, dict) and isinstance(held.get("config"), dict) and "facts" in held:
        check_schema(f"--config {path}", held, "name another file")
        held = held["config"]
    if not isinstance(held, dict):
        raise SelfeditError(f"--config {path}: holds no settings; give names with values")
    return {str(name).replace("-", "_"): value for name, value in held.items()}


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if is_dataclass(old) and not isinstance(old, type):
            old = {field.name: getattr(old, field.name) for field in fields(old)}
        merged[name] = _overlay(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
