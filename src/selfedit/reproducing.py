"""L5. `selfedit reproduce`: runs or resumes what a table or figure of the paper rests on, and shows ours beside it.

Each step is an ordinary run in its own folder, with its own page. A step that has ended is marked so, with a hash of
its settings, and is not started again; what cannot work is refused before the first step begins.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from selfedit.commands import load_task, run_continual, run_evaluation, run_train
from selfedit.config import ContinualConfig, EvalConfig, ReproduceConfig, RunConfig, TrainConfig
from selfedit.edits import load_prompt, read_edit_files
from selfedit.loop import Sources, check_files, plan_rows
from selfedit.recipes.reproduce import NAMES, Step, plan
from selfedit.records import SelfeditError, digest
from selfedit.seams import KnowledgeTask
from selfedit.store import Ledger
from selfedit.store.folder import check_run

DONE = "finished"
"""File in a step's folder: the hash of settings and data with which it came to its end."""


def reproduce(name: str, config: ReproduceConfig, words: Sequence[str], as_json: bool) -> None:
    """Runs the steps of `name` that have not ended yet, and writes and shows its page."""
    if config.prompts and name != "prompts":
        raise SelfeditError(f"--prompts: {name} takes none; it is for `selfedit reproduce prompts`")
    for prompt in config.prompt_names():
        load_prompt(prompt)
    steps, root = plan(name, config), config.run_path()
    for step in steps:
        _check(step, root, config)
    done = [
        _run(step, root, words, f"{name}, {place} of {len(steps)}: {step.folder}")
        for place, step in enumerate(steps, 1)
    ]
    _show(name, config, root, done, as_json)


def _run(step: Step, root: Path, words: Sequence[str], title: str) -> Step:
    """Brings a step to its end; returns it as it was run."""
    step, path = _settled(step), root / step.folder
    mark = _mark(step)
    if _has_ended(path, mark):
        _say(f"{title}: there already")
        return step
    _say(title)
    if isinstance(step.config, TrainConfig):
        run_train(step.config, path, words)
    elif isinstance(step.config, ContinualConfig):
        run_continual(step.config, path, words)
    else:
        run_evaluation(step.config, path, words)
    from selfedit.report import build_report

    build_report(path)
    (path / DONE).write_text(mark + "\n", encoding="utf-8")
    return step


def _settled(step: Step) -> Step:
    """Without the methods that need a trained policy, where training has ended and trained none."""
    config = step.config
    if not isinstance(config, EvalConfig) or not config.policy or _has_policy(Path(config.policy)):
        return step
    methods = [method for method in config.methods.split(",") if method not in ("seal", "seal-edits")]
    return replace(step, config=config.model_copy(update={"methods": ",".join(methods), "policy": ""}))


def _has_policy(run: Path) -> bool:
    if not (run / "ledger.db").is_file():
        return False
    with Ledger(run / "ledger.db") as ledger:
        return any(policy.version for policy in ledger.policies())


def _mark(step: Step) -> str:
    """Of settings, passages and other writers' files."""
    task = load_task(step.config)
    files = {} if isinstance(step.config, TrainConfig) else read_edit_files(step.config.edits)
    return digest(step.config.identity(), [task.contexts("train"), task.contexts("heldout")], files)


def _has_ended(path: Path, mark: str) -> bool:
    marked = path / DONE
    return (path / "ledger.db").is_file() and marked.is_file() and marked.read_text(encoding="utf-8").strip() == mark


def _check(step: Step, root: Path, config: ReproduceConfig) -> None:
    """Refuses what the step would refuse later."""
    task, noun = load_task(step.config), _noun(step.config)
    if isinstance(step.config, TrainConfig):
        _enough(config, "to train on", step.config.contexts, len(task.contexts("train")), "--data", noun)
    else:
        _enough(config, "held out", step.config.contexts, len(task.contexts("heldout")), "--heldout-data", noun)
    if isinstance(step.config, EvalConfig):
        _check_sources(step.config, task)
    _check_folder(step, root / step.folder)


def _noun(config: RunConfig) -> str:
    return "puzzles" if config.task == "arc" else "passages"


def _enough(config: ReproduceConfig, what: str, needed: int, there: int, flag: str, noun: str) -> None:
    if needed > there:
        named = getattr(config, flag.removeprefix("--").replace("-", "_")) or config.data
        raise SelfeditError(
            f"--scale {config.scale}: needs {needed} {noun} {what}, {named} has {there};"
            f" give more with {flag} FILE, or take --scale smoke"
        )


def _check_sources(config: EvalConfig, task: KnowledgeTask) -> None:
    for name in config.method_names():
        task.variant(name.prompt)
    sources = Sources(read_edit_files(config.edits), {})
    names = [name for name in config.method_names() if name.kind == "edits"]
    check_files(plan_rows(names, (), sources), sources, task.contexts("heldout")[: config.contexts])


def _check_folder(step: Step, path: Path) -> None:
    """Either as planned, or as it is run where training trained nothing."""
    config = step.config
    defaults = type(config)().identity()
    try:
        check_run(path, config.identity(), defaults)
    except SelfeditError:
        settled = _settled(step).config
        if settled == config:
            raise
        check_run(path, settled.identity(), defaults)


def _show(name: str, config: ReproduceConfig, root: Path, steps: Sequence[Step], as_json: bool) -> None:
    from rich.console import Console

    from selfedit.report.builders import BUILDERS
    from selfedit.report.document import as_json as in_json
    from selfedit.report.document import print_document, write_document
    from selfedit.report.parts import read_part

    parts = [read_part(root / step.folder, step.kind) for step in steps]
    document = BUILDERS[name](NAMES[name], parts, _gaps(name, config, steps))
    page = write_document(root, document)
    if as_json:
        print(in_json(document), end="")
        print(f"page: {page}", file=sys.stderr)
    else:
        print_document(document, Console())
        print(f"\npage: {page}")


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
        noun = _noun(steps[0].config)
        gaps.append(f"The scale smoke shows that everything runs; its numbers rest on too few {noun} to go by.")
    return gaps


def _say(line: str) -> None:
    print(f"reproduce {line}", file=sys.stderr)
