"""L5. `selfedit demo`: one round of SEAL in a time that is named beforehand, on whatever machine.

1. A second of products says in which number type this machine is faster (`number_type`).
2. A few seconds of real work say what a token trained on, a token written and a passage's questions take here.
3. From that the demo gets its size (`recipes.demo`), with a margin, and says it in plain words.
4. Where the estimate proves wrong, the time is held all the same: a piece of work that would end too late is not begun,
   as if the run had been stopped there. The page says what is missing, and the same command goes on.

What is not guarded: a single piece that takes far longer than every one before it, and the page at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from selfedit import seeds
from selfedit.cli import open_run
from selfedit.cli.number_type import AUTO, choose_number_type
from selfedit.cli.options import peek
from selfedit.cli.output import JsonCommand, Output, say
from selfedit.cli.train import run_train
from selfedit.config import SHIPPED_LEARNER, at_least
from selfedit.edits import split_sentences
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.loop import TrainConfig, plan_training, run_training, trained_rows
from selfedit.protocols import Engine, Progress, Task
from selfedit.recipes import RECIPES
from selfedit.recipes.demo import (
    PAGE_SECONDS,
    TOGETHER,
    HeldoutRows,
    Pace,
    SizedDemo,
    longest_piece,
    sized,
    study_tokens,
)
from selfedit.records import (
    UNTOUCHED,
    Completion,
    Generation,
    Policy,
    SamplingParams,
    TrainingConfig,
    Trial,
    TrialSpec,
)
from selfedit.store import AdapterFolders, read_ledger
from selfedit.store.run_folder import CONFIG, check_run, read_run
from selfedit.tasks import load_task

RECIPE, QUICK = "demo", "demo-quick"
MINUTES, MOST_MINUTES = 10.0, 1000
"""What a demo may take where nothing is said, and at most."""
SCALES, LONG = (1, 3), 8.0
"""How much of a kind of work is measured, one after the other; and seconds after which that was enough. The first time
is far slower than the rest: alone it made a machine seem half as fast as it was."""
WORDS = 12
"""Tokens written of each text to measure."""
EXAMPLES = 4
"""Sequences trained on to measure: the passage and some sentences."""
WIDE = 20
"""Held-out passages below which intervals are said to be wide."""
_SIZES = ("contexts", "edits", "heldout")


@dataclass(frozen=True, kw_only=True)
class Demo(JsonCommand):
    """One round of SEAL on the embedded model and the bundled corpus, with a report. It measures the machine, and takes
    as many passages as fit the time."""

    minutes: float = MINUTES
    """It ends within this time, loading and report among it, on a slow machine with fewer passages and wider intervals.
    1 to 1000."""
    quick: bool = False
    """A much smaller one of fixed size: it shows that everything runs, and no more."""
    learner: Literal["shipped", "untouched"] = "shipped"
    """Who studies: the learner that comes with the package, which answers from what it studied, or `untouched`, the
    model as it is, which recites it."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number type of the base. `auto`: on a CPU bfloat16 where large products are clearly faster in it, else float32;
    measured where a run begins, and kept by it."""
    folder: Annotated[str, tyro.conf.arg(name="run")] = ""
    """Run folder; the same command on the same folder resumes, in the size that it began with. Empty: a folder under
    `runs/`."""

    def run(self, out: Output) -> None:
        """Makes or resumes the run, and shows its report."""
        start = time.monotonic()
        told = {"learner": self.learner, "dtype": self.dtype}
        if self.quick:
            if peek(out.words, "--minutes"):
                raise SettingError(Field("quick"), " has a fixed size: leave out ", Field("minutes"), " or this")
            quick = RECIPES[QUICK].model_copy(update={"run": self.folder, **told})
            path = quick.run_path("demo")
            settings, chosen = in_its_numbers(quick, path)
            out.report(run_train(settings, path, out, chosen))
            return
        at_least(1, "minutes", self.minutes, MOST_MINUTES)
        named = "" if self.learner == SHIPPED_LEARNER else f"-{self.learner}"
        named += "" if self.dtype == AUTO else f"-{self.dtype}"
        path = Path(self.folder or f"runs/demo-{self.minutes:g}-minutes{named}")
        recipe, chosen = in_its_numbers(RECIPES[RECIPE].model_copy(update=told), path)
        _Sitting(self.minutes, start, out, recipe, chosen).run(path)


@dataclass(frozen=True, slots=True)
class _Sitting:
    """One start of the demo, with its time."""

    minutes: float
    start: float
    out: Output
    recipe: TrainConfig
    """Before it is sized."""
    chosen: str
    """What spoke for its number type, where this command has chosen it."""

    def run(self, path: Path) -> None:
        """From the folder to the report."""
        engine: Engine | None = None
        pace: Pace | None = None
        if (path / CONFIG).is_file():
            settings = began_as(path, self.recipe)
            check_run(path, settings.identity(), settings.defaults())
            say(f"demo: {path} goes on in the size that it began with: {said_size(settings)}")
        else:
            recipe = self.recipe
            check_run(path, recipe.identity(), recipe.defaults())
            say("demo: loading the model and measuring this machine")
            task = load_task(recipe)
            engine = open_run.start_engine(recipe, AdapterFolders(path))
            pace = measure(engine, task, recipe.inner, recipe.sampling)
            settings = self._fit(recipe, pace, task).settings
        is_whole = self._train(path, settings, pace, engine)
        if not is_whole and not has_outcomes(path):
            told = f" {self.minutes:g}: too short for this machine, nothing was finished in it; give more, and "
            raise SettingError(Field("minutes"), told, Field("run"), f" {path} goes on")
        self.out.report(path)
        self._close(settings, is_whole)

    @property
    def _time(self) -> str:
        return _count(self.minutes, "minute")

    def _fit(self, recipe: TrainConfig, pace: Pace, task: Task) -> SizedDemo:
        """The size for the time that is left, told before anything begins."""
        plan = plan_training(recipe, task)
        rows = HeldoutRows.of([*plan.heldout.rows, *trained_rows(Policy(1))])
        gone = time.monotonic() - self.start
        found = sized(recipe, pace, self.minutes * 60 - gone, rows)
        measured = (
            f"demo: this machine trains on {_rate(pace.train)} tokens a second, writes {_rate(pace.write)}, and answers"
            f" a passage's questions in {pace.ask:.1f} s."
        )
        estimated = f"{said_size(found.settings)}; estimated: {(gone + found.seconds) / 60:.1f} minutes"
        if found.is_fitting:
            say(f"{measured} So that it ends within {self._time}: {estimated}.")
        else:
            say(f"{measured} This is the smallest demo: {estimated}.")
            say(f"demo: it ends after {self._time} all the same, and leaves out what it has not come to.")
        return found

    def _train(self, path: Path, settings: TrainConfig, pace: Pace | None, engine: Engine | None) -> bool:
        """All of it, or as much as the time allows; returns whether it was all."""
        task = load_task(settings)
        plan = plan_training(settings, task)
        with open_run.opened("train", settings, path, task, self.out, engine=engine, chosen=self.chosen) as runtime:
            page = pace.page if pace else PAGE_SECONDS
            first = longest_piece(settings, pace, runtime.learner.bank_size) if pace else 0.0
            end = self.start + self.minutes * 60 - page
            try:
                run_training(plan, replace(runtime, progress=TimedProgress(runtime.progress, end, first)))
            except TimeUpError:
                return False
        return True

    def _close(self, settings: TrainConfig, is_whole: bool) -> None:
        """What it took, and what would show more."""
        took = f"demo: took {(time.monotonic() - self.start) / 60:.1f} of {self._time}"
        more = f"--minutes {min(MOST_MINUTES, 3 * self.minutes):g} takes more"
        if not is_whole:
            say(f"{took}; this machine is slower than that, and what was not begun is left out, as the page says")
            say(f"demo: what is finished is kept; the same command goes on: {self.out.command}")
        elif settings.heldout < WIDE:
            allowed = f"{_count(settings.heldout, 'held-out passage')}, as many as this machine allowed"
            say(f"{took}, with {allowed}; on so few, intervals are wide, and {more}")
        else:
            say(f"{took}, with {settings.heldout} held-out passages")


def in_its_numbers(settings: TrainConfig, path: Path) -> tuple[TrainConfig, str]:
    """The settings with a number type where they name none, and what spoke for it: that in which the run at `path`
    began; for a new one what suits this machine, which is told."""
    if settings.dtype != AUTO:
        return settings, ""
    if (path / CONFIG).is_file():
        held = read_run(path)["config"].get("dtype", AUTO)
        return settings.model_copy(update={"dtype": str(held)}), ""
    check_run(path, settings.identity(), settings.defaults())
    found = choose_number_type()
    say(f"demo: it computes in {found.dtype}: {found.why}")
    return settings.model_copy(update={"dtype": found.dtype}), f"{found.dtype}: {found.why}"


def said_size(settings: TrainConfig) -> str:
    """What a demo of this size does, in plain words."""
    return (
        f"{_count(settings.contexts, 'training passage')} with {_count(settings.edits, 'self-edit')} each,"
        f" {_count(settings.heldout, 'held-out passage')}, {study_tokens(settings):,} tokens a study"
    )


def began_as(path: Path, recipe: TrainConfig) -> TrainConfig:
    """The settings of the demo in `path`: the recipe in the size that the folder's record names.

    Raises:
        SettingError: the folder holds another run.
    """
    held = read_run(path)
    config = held["config"]
    try:
        if held["kind"] != "train" or config["recipe"] != RECIPE:
            raise KeyError("recipe")
        update: dict[str, Any] = {name: int(config[name]) for name in _SIZES}
        update["inner"] = replace(recipe.inner, budget=str(config["inner"]["budget"]))
        update["sampling"] = replace(recipe.sampling, max_new_tokens=int(config["sampling"]["max_new_tokens"]))
        settings = TrainConfig.model_validate({**dict(recipe), **update})
        study_tokens(settings)
    except (KeyError, TypeError, ValueError):
        raise SettingError(Field("run"), f" {path}: holds no demo that has a size; choose another folder") from None
    return settings


def has_outcomes(path: Path) -> bool:
    """Whether anything has come out in a run."""
    with read_ledger(path / "ledger.db") as ledger:
        return bool(ledger.outcomes())


class TimeUpError(Exception):
    """The next piece of work would end too late. No fault: the run is stopped as by Ctrl-C."""


class TimedProgress:
    """Implements `protocols.Progress` for another, and ends the run in time: no piece of work begins from which, taking
    as long as the longest before it, one would not be back by `end`.

    Args:
        shown: who is watching.
        end: on the clock `time.monotonic`, seconds.
        first: seconds of the longest piece, as estimated before there is any.
    """

    def __init__(self, shown: Progress, end: float, first: float = 0.0) -> None:
        self._shown, self._end, self._longest = shown, end, first
        self._left, self._began = 0, time.monotonic()

    def stage(self, name: str, total: int) -> None:
        """See `protocols.Progress.stage`."""
        self._shown.stage(name, total)
        self._left = total
        self._begin()

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """See `protocols.Progress.advance`."""
        self._shown.advance(done, note, is_recalled)
        self._left -= done
        if not is_recalled:
            self._longest = max(self._longest, time.monotonic() - self._began)
        self._begin()

    def _begin(self) -> None:
        """A piece begins, if there is one and it can end in time."""
        self._began = time.monotonic()
        if self._left > 0 and self._began + self._longest > self._end:
            raise TimeUpError


def measure(engine: Engine, task: Task, inner: TrainingConfig, sampling: SamplingParams) -> Pace:
    """What this machine takes, from a few seconds of real work; on a slow one the least of it is enough.

    Raises:
        SelfeditError: it cannot do the work at all.
    """
    write = _seconds_per_unit(lambda scale: _write_some(engine, task, sampling, scale))
    ask = _seconds_per_unit(lambda scale: _ask_some(engine, task, inner, scale))
    return Pace(_seconds_per_unit(lambda scale: _train_some(engine, task, inner, scale)), write, ask)


def _seconds_per_unit(work: Callable[[int], int]) -> float:
    """`work` does that many times the least, and returns what was done in units. The first time is also the slowest:
    it counts alone where it took long."""
    per_unit = 0.0
    for scale in SCALES:
        start = time.monotonic()
        units = work(scale)
        seconds = time.monotonic() - start
        per_unit = seconds / max(1, units)
        if seconds > LONG:
            break
    return per_unit


def _train_some(engine: Engine, task: Task, inner: TrainingConfig, scale: int) -> int:
    """Tokens trained on: one pass over a short passage with some of its sentences, as self-edits are studied, under a
    few adapters."""
    context = min(task.contexts("train"), key=lambda one: len(one.text))
    examples = task.compile(context, split_sentences(context.text)).examples[:EXAMPLES]
    training, spec = replace(inner, epochs=1, budget=""), TrialSpec(examples, ())
    trials = [Trial(f"measured-{i}", spec, training, seeds.derive(0, "measured", i)) for i in range(2 * scale)]
    return sum(result.tokens for result in _tried(engine, trials))


def _ask_some(engine: Engine, task: Task, inner: TrainingConfig, scale: int) -> int:
    """Passages of which the questions were answered, without any study."""
    specs = [TrialSpec((), task.compile(context, None).queries) for context in task.contexts("train")[: 2 * scale]]
    trials = [Trial(f"asked-{i}", spec, inner, 0) for i, spec in enumerate(specs)]
    return len(_tried(engine, trials))


def _tried(engine: Engine, trials: list[Trial]) -> list[Any]:
    results = [result for done in engine.run_trials([trials]) for result in done.results]
    if failed := next((result.failure for result in results if result.failure), ""):
        raise SelfeditError(f"demo: this machine could not be measured: {failed}")
    return results


def _write_some(engine: Engine, task: Task, sampling: SamplingParams, scale: int) -> int:
    """Tokens written: the beginnings of a few self-edits, their prompt read first."""
    prompt = task.prompt(task.contexts("train")[0])
    short = replace(sampling, max_new_tokens=WORDS * scale)
    texts = [Generation(UNTOUCHED, prompt, short, seeds.derive(0, "measured", i)) for i in range(TOGETHER)]
    written = [one for done in engine.generate([texts]) for one in done.results]
    return sum(one.tokens for one in written if isinstance(one, Completion))


def _rate(seconds: float) -> str:
    return f"{1 / seconds:,.0f}" if seconds > 0 else "many"


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
