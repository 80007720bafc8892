"""L5. `selfedit reproduce`: runs or resumes what a table or figure of the paper rests on, and shows ours beside it.

Each step is an ordinary run in its own folder, with its own page. A step that has ended is marked so, with a hash of
its settings, and is not started again; what cannot work is refused before the first step begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from selfedit.cli import past_window
from selfedit.cli.continual import run_continual
from selfedit.cli.evaluate import run_evaluation
from selfedit.cli.house_rules import run_house_rules
from selfedit.cli.output import JsonCommand, Output, say, show_document
from selfedit.cli.stream import run_stream
from selfedit.cli.train import run_train
from selfedit.continual import ContinualConfig
from selfedit.disk import replace_file
from selfedit.edits import load_prompt, read_edit_files
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.learn.house_rules import HouseRulesConfig
from selfedit.learn.stream import StreamConfig
from selfedit.loop import EvalConfig, TrainConfig, find_method, plan_evaluation
from selfedit.recipes.reproduce import NAMES, ReproduceConfig, Step, plan
from selfedit.records import digest
from selfedit.store import read_ledger
from selfedit.store.run_folder import check_run
from selfedit.tasks import find_task, load_task

DONE = "finished"
"""File in a step's folder: the hash of settings and data with which it came to its end."""


@dataclass(frozen=True, kw_only=True)
class Reproduce(JsonCommand):
    """A table or figure of the paper, ours beside the published numbers: runs or resumes what it needs."""

    name: tyro.conf.Positional[str]
    """table1, table2, figure4, figure5, figure6, prompts, cost, reward (how noisy it is), worth (methods at equal
    budgets), house-rules (an agent that self-edits after each interaction), stream (documents that come, change and
    go) or past-window (weights that are updated while a text goes on)."""
    settings: Annotated[ReproduceConfig, tyro.conf.arg(name="")]

    def run(self, out: Output) -> None:
        """Runs the steps that have not ended yet, and writes and shows the page."""
        name, config = self.name, self.settings
        if name == past_window.NAME:
            past_window.run_past_window_page(config, out)
            return
        for prompt in config.prompt_names() if name == "prompts" else ():
            load_prompt(prompt)
        steps, root = plan(name, config), config.run_path()
        for step in steps:
            _check(step, root, config)
        done = [
            _run(step, root, out, f"{name}, {place} of {len(steps)}: {step.folder}")
            for place, step in enumerate(steps, 1)
        ]
        _show(name, config, root, done, out)


def _run(step: Step, root: Path, out: Output, title: str) -> Step:
    """Brings a step to its end; returns it as it was run."""
    step, path = _settled(step), root / step.folder
    mark = _mark(step)
    if _has_ended(path, mark):
        say(f"reproduce {title}: there already")
        return step
    say(f"reproduce {title}")
    if isinstance(step.config, TrainConfig):
        run_train(step.config, path, out)
    elif isinstance(step.config, ContinualConfig):
        run_continual(step.config, path, out)
    elif isinstance(step.config, HouseRulesConfig):
        run_house_rules(step.config, path, out)
    elif isinstance(step.config, StreamConfig):
        run_stream(step.config, path, out)
    else:
        run_evaluation(step.config, path, out)
    from selfedit import report

    report.build_report(path)
    replace_file(path / DONE, f"{mark}\n".encode())
    return step


def _settled(step: Step) -> Step:
    """Without the methods that need a trained policy, where training has ended and trained none."""
    config = step.config
    if not isinstance(config, EvalConfig) or not config.policy or _has_policy(Path(config.policy)):
        return step
    methods = [request for request in config.requests() if find_method(request.name).needs != "policy"]
    named = ",".join(map(str, methods))
    return replace(step, config=config.model_copy(update={"methods": named, "policy": ""}))


def _has_policy(run: Path) -> bool:
    if not (run / "ledger.db").is_file():
        return False
    with read_ledger(run / "ledger.db") as ledger:
        return any(policy.version for policy in ledger.policies())


def _mark(step: Step) -> str:
    """Of settings, passages and other writers' files."""
    task = load_task(step.config)
    config = step.config
    files = read_edit_files(config.edits) if isinstance(config, EvalConfig | ContinualConfig) else {}
    return digest(config.identity(), [task.contexts("train"), task.contexts("heldout")], files)


def _has_ended(path: Path, mark: str) -> bool:
    marked = path / DONE
    return (path / "ledger.db").is_file() and marked.is_file() and marked.read_text(encoding="utf-8").strip() == mark


def _check(step: Step, root: Path, config: ReproduceConfig) -> None:
    """Refuses what the step would refuse later."""
    if isinstance(step.config, HouseRulesConfig | StreamConfig):  # its worlds are as large as it asks for
        _check_folder(step, root / step.folder)
        return
    task, noun = load_task(step.config), f"{find_task(step.config.task).noun}s"
    if isinstance(step.config, TrainConfig):
        _enough(config, "to train on", step.config.contexts, len(task.contexts("train")), "data", noun)
    else:
        _enough(config, "held out", step.config.contexts, len(task.contexts("heldout")), "heldout_data", noun)
    if isinstance(step.config, EvalConfig):
        untrained = [request for request in step.config.requests() if find_method(request.name).needs != "policy"]
        named = step.config.model_copy(update={"methods": ",".join(map(str, untrained))})
        plan_evaluation(named, task, (), read_edit_files(step.config.edits))
    _check_folder(step, root / step.folder)


def _enough(config: ReproduceConfig, what: str, needed: int, there: int, field: str, noun: str) -> None:
    if needed > there:
        told = f" {config.scale}: needs {needed} {noun} {what}, {getattr(config, field) or config.data} has {there}"
        mend = "; give more with ", Field(field), " FILE, or take ", Field("scale"), " smoke"
        raise SettingError(Field("scale"), told, *mend)


def _check_folder(step: Step, path: Path) -> None:
    """Either as planned, or as it is run where training trained nothing."""
    config = step.config
    try:
        check_run(path, config.identity(), config.defaults())
    except SelfeditError:
        settled = _settled(step).config
        if settled == config:
            raise
        check_run(path, settled.identity(), settled.defaults())


def _show(name: str, config: ReproduceConfig, root: Path, steps: Sequence[Step], out: Output) -> None:
    from selfedit.report import read_run_data
    from selfedit.report.paper import PAPER

    parts = [read_run_data(root / step.folder, step.kind) for step in steps]
    show_document(root, PAPER[name](NAMES[name], parts, _gaps(name, config, steps)), out)


def _gaps(name: str, config: ReproduceConfig, steps: Sequence[Step]) -> list[str]:
    """What the page lacks, and why."""
    gaps = []
    if name in ("table2", "figure4") and not (config.edits or config.writer):
        gaps.append("Other writers' self-edits are left out: give them with --edits FILE, or a model with --writer.")
    trained = [step.folder for step in steps if step.kind == "train"]
    lacking = [folder for folder in trained if not _has_policy(config.run_path() / folder)]
    if lacking:
        gaps.append(f"No trained policy in {', '.join(lacking)}: no self-edit beat the untouched model there.")
    if config.scale == "smoke":
        noun = f"{find_task(steps[0].config.task).noun}s"
        gaps.append(f"The scale smoke shows that everything runs; its numbers rest on too few {noun} to go by.")
    return gaps
