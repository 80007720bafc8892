"""L5. What the commands do: put the parts together, run them, show what came out.

Everything that can be refused is refused before the model is loaded. Torch and the report's libraries are imported by
the commands that need them, so that `--help` is quick.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfedit.config import UNTOUCHED, ContinualConfig, EvalConfig, RunConfig, TrainConfig
from selfedit.edits import EndpointWriter, read_edit_files
from selfedit.endpoints import Endpoint, EndpointSettings
from selfedit.estimates import assumptions
from selfedit.executors import EXECUTORS
from selfedit.grading import JudgeGrader, grade_answers, grade_file, load_grader
from selfedit.loop import (
    Draw,
    Kit,
    Sources,
    check_adapter,
    check_contexts,
    check_files,
    check_prompt,
    check_sizes,
    draw_sequences,
    plan_remedies,
    plan_rows,
    regrade,
    run_eval,
    run_sequences,
    run_training,
    take_heldout,
)
from selfedit.progress import show_progress
from selfedit.records import Policy, SelfeditError, Written, digest, to_json
from selfedit.seams import Engine, Keeper, KnowledgeTask
from selfedit.store import Ledger
from selfedit.store.folder import amend_run, check_run, code_version, open_run, read_run
from selfedit.tasks import TASKS, load_probe
from selfedit.tasks.arc.task import ArcTask

if TYPE_CHECKING:
    from selfedit.engine import TorchEngine


def train(name: str, config: TrainConfig, words: Sequence[str], as_json: bool) -> None:
    """Makes or resumes a run of the outer loop, under the command `name`, and shows its report."""
    _show(run_train(config, config.run_path(name), words), as_json)


def run_train(config: TrainConfig, path: Path, words: Sequence[str]) -> Path:
    """Makes or resumes a run of the outer loop in the folder `path`, which it returns."""
    check_run(path, config.identity(), type(config)().identity())
    task = load_task(config)
    check_prompt(config)
    check_sizes(config, task)
    with _opened(config, path, task, words) as kit:
        run_training(config, kit)
    return path


def evaluate(config: EvalConfig, words: Sequence[str], as_json: bool) -> None:
    """Makes or resumes an evaluation and shows its report."""
    _show(run_evaluation(config, config.run_path("eval"), words), as_json)


def run_evaluation(config: EvalConfig, path: Path, words: Sequence[str]) -> Path:
    """Makes or resumes an evaluation in the folder `path`, which it returns."""
    check_run(path, config.identity(), type(config)().identity())
    task = load_task(config)
    heldout = take_heldout(task, config.contexts)
    policies = trained_policies(Path(config.policy), task) if config.policy else []
    files = read_edit_files(config.edits)
    names = config.method_names()
    for prompt in filter(None, (name.prompt for name in names)):
        task.variant(prompt)
    check_files(plan_rows(names, policies, Sources(files, {})), Sources(files, {}), heldout)
    with _opened(config, path, task, words, policies) as kit:
        run_eval(config, kit, policies, _sources(config, files))
    return path


def continual(config: ContinualConfig, words: Sequence[str], as_json: bool) -> None:
    """Makes or resumes sequences of updates, and shows their report."""
    _show(run_continual(config, config.run_path("continual"), words), as_json)


def run_continual(config: ContinualConfig, path: Path, words: Sequence[str]) -> Path:
    """Makes or resumes sequences of updates in the folder `path`, which it returns."""
    check_run(path, config.identity(), type(config)().identity())
    task, probe = load_task(config), load_probe(config.probe)
    plan_remedies(config)
    files = _merged(read_edit_files(config.edits)) if config.edits else None
    check_contexts(config, draw_sequences(task, config), files)
    if config.writer != "sentences" and not config.edits:
        check_prompt(config)
    policies = trained_policies(Path(config.policy), task)[-1:] if config.policy else []
    start = policies[0] if policies else Policy()
    with _opened(config, path, task, words, policies) as kit:
        keeper = start_keeper(kit.engine, config, start)
        run_sequences(config, replace(kit, home=path), keeper, probe, start, files)
    return path


def start_keeper(engine: Engine, config: ContinualConfig, start: Policy) -> Keeper:
    """What keeps versions side by side, each begun with `start`."""
    from selfedit.engine.keeper import ChainKeeper

    return ChainKeeper(engine, config.inner, start, Path(config.policy))  # type: ignore[arg-type]  # the one there is


def _merged(files: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, Sequence[str]]:
    """The self-edits of several files as those of one; the first file that has a context counts."""
    found: dict[str, Sequence[str]] = {}
    for texts in files.values():
        found = {**texts, **found}
    return found


def report(path: Path, as_json: bool) -> None:
    """Rebuilds and shows the report of a run."""
    read_run(path)
    _show(path, as_json)


def grade(path: Path, name: str, judge: EndpointSettings | None, as_json: bool) -> None:
    """Grades a file of answers, and says what the judge used if it was asked."""
    grader = load_grader(name, judge)
    found = to_json(grade_file(path, grader))
    if isinstance(grader, JudgeGrader):
        found |= {f"judge_{field}": value for field, value in to_json(grader.endpoint.usage).items()}
    if as_json:
        print(json.dumps({"grader": name, **found}, indent=2))
    else:
        _print_rows(f"{path}, grader {name}", found)


def regrade_run(path: Path, name: str, judge: EndpointSettings | None, as_json: bool) -> None:
    """Grades a run's answers again, and rebuilds its report; by the judge that it had, only what has no verdict."""
    config = read_run(path)["config"]
    if config.get("reward", "logprob") != "logprob":
        raise SelfeditError(f"{path}: its verdicts chose self-edits (--reward {config['reward']}); train again instead")
    grader = load_grader(name, judge)
    settings = {"grader": name, "judge": judge.url if judge else "", "judge_model": judge.model if judge else ""}
    is_same = judge is not None and all(config.get(field, "") == value for field, value in settings.items())
    with amend_run(path, settings) as run, Ledger(run.ledger) as ledger:
        found = regrade(ledger, partial(grade_answers, grader), only_ungraded=is_same)
        if isinstance(grader, JudgeGrader):
            ledger.add_usage("regrading", "judge", grader.endpoint.model, grader.endpoint.take_usage())
    told = f"{found.answers} answers graded by {name}, {found.changed} verdicts changed, {found.ungraded} ungraded"
    print(f"{path}: {told}", file=sys.stderr)
    _show(path, as_json)


def doctor(config: TrainConfig, is_named: bool, as_json: bool) -> None:
    """What is installed, what the machine can do, what the demo would take, and `config`: with its model where
    `is_named`, else with models of three sizes."""
    from rich.console import Console

    from selfedit.doctor import estimate_all, examine, print_estimates

    if config.task == "arc":
        raise SelfeditError(
            "--task arc: estimates are for passages; `selfedit solve` on one puzzle tells what that takes"
        )
    found, here = examine()
    estimates = estimate_all(config, here, config.model if is_named else "")
    if as_json:
        print(json.dumps({**found, "estimates": to_json(estimates), "assumptions": assumptions(config)}, indent=2))
    else:
        _print_rows("selfedit doctor", found)
        print_estimates(estimates, config, Console())


def setup() -> None:
    """Fetches the embedded model, and says where it is."""
    from selfedit.engine.models import fetch_embedded

    print(fetch_embedded())


def load_task(config: RunConfig) -> KnowledgeTask:
    """The task that `config` names, with a grader and an ask style that exist."""
    load_grader(config.grader, config.judge_settings())
    return TASKS[config.task](config)


def start_engine(config: RunConfig) -> TorchEngine:
    """The engine of the model that writes, on which the policy's adapters can sit, and trials' too if it learns."""
    from selfedit.engine import load_engine

    engine = load_engine(config.model, config.device, config.dtype, config.bank)
    for name in ("outer",) if _is_other(config.learner) else ("inner", "outer"):
        _check_adapted(engine, config, name)
    return engine


def start_learner(config: RunConfig, writer: TorchEngine) -> TorchEngine:
    """The engine of the model that studies and answers; mostly the same."""
    if not _is_other(config.learner):
        return writer
    from selfedit.engine import load_engine

    engine = load_engine(config.learner, config.device, config.dtype, config.bank)
    _check_adapted(engine, config, "inner")
    return engine


def _is_other(learner: str) -> bool:
    return learner not in ("", UNTOUCHED)


def _check_adapted(engine: TorchEngine, config: RunConfig, name: str) -> None:
    if settings := getattr(config, name, None):
        try:
            engine.adapted(settings)
        except SelfeditError as error:
            raise SelfeditError(f"--{name}.{str(error).replace('_', '-', 1)}") from error


@contextmanager
def _opened(
    config: RunConfig, path: Path, task: KnowledgeTask, words: Sequence[str], policies: Sequence[Policy] = ()
) -> Iterator[Kit]:
    """Everything that a run works with, held until the block ends. `policies` live in the run that `config` names."""
    grader = load_grader(config.grader, config.judge_settings())
    engine = start_engine(config)
    learner = start_learner(config, engine)
    home = Path(getattr(config, "policy", "") or path)
    facts = {
        **engine.facts,
        **({"learner_weights_sha256": learner.sha256} if learner is not engine else {}),
        "bank": str(learner.bank_size),
        "data": digest([task.contexts("train"), task.contexts("heldout")]),
        "policy": ",".join(policy.digest for policy in policies),
        "code": code_version(),
        "command": shlex.join(["selfedit", *words]),
    }
    with (
        open_run(path, config.identity(), facts, type(config)().identity()) as run,
        Ledger(run.ledger) as ledger,
        show_progress(sys.stderr) as progress,
    ):
        yield Kit(
            task=task,
            engine=engine,
            executor=EXECUTORS[config.executor](learner),
            grade=partial(grade_answers, grader),
            judge=grader.endpoint if isinstance(grader, JudgeGrader) else None,
            ledger=ledger,
            progress=progress,
            home=home,
            facts=engine.facts,
            bank=learner.bank_size,
            deliberation=task if isinstance(task, ArcTask) else None,
            learner_facts=learner.facts if config.learner else None,
        )


def trained_policies(run: Path, task: KnowledgeTask) -> list[Policy]:
    """The trained policies of `run`, by version; none may have been trained on what is held out here."""
    read_run(run)
    if not (run / "ledger.db").is_file():
        raise SelfeditError(f"--policy {run}: has no ledger; name a run folder that has trained a policy")
    with Ledger(run / "ledger.db") as ledger:
        policies = [policy for policy in ledger.policies() if policy.version]
        learnt = {context.text for context in ledger.contexts("train")}
    if not policies:
        raise SelfeditError(f"--policy {run}: has trained no policy yet")
    for policy in policies:
        check_adapter(policy, run)
    seen = [context.id for context in task.contexts("heldout") if context.text in learnt]
    if seen:
        raise SelfeditError(f"--policy {run}: was trained on {len(seen)} of these held-out contexts, such as {seen[0]}")
    return policies


def _sources(config: EvalConfig, files: Mapping[str, Mapping[str, Sequence[str]]]) -> Sources:
    """The self-edits of `--edits`, and how the model of `--writer` draws them."""
    if not config.writer:
        return Sources(files, {})
    if settings := config.writer_settings():
        writer = EndpointWriter(Endpoint(settings))
        return Sources(files, {config.writer_model.replace("/", "_"): _drawn(writer.write, config)}, writer.endpoint)
    engine = load_writer(config)
    return Sources(files, {Path(config.writer).name: _drawn(partial(engine.write, Policy(), Path()), config)})


def _drawn(write: Callable[..., Sequence[Sequence[Written | str]]], config: EvalConfig) -> Draw:
    return lambda prompts, n, seeds: write(prompts, n, config.sampling, seeds)


def load_writer(config: EvalConfig) -> Engine:
    """Another model that writes self-edits and does no more."""
    from selfedit.engine import load_engine

    return load_engine(config.writer, config.device, config.dtype, config.bank)


def _show(path: Path, as_json: bool) -> None:
    """Rebuilds the report; the tables go to standard output."""
    from rich.console import Console

    from selfedit.report import build_report, print_summary, summary

    page = build_report(path)
    if as_json:
        print(json.dumps(summary(path), indent=2, ensure_ascii=False))
        print(f"report: {page}", file=sys.stderr)
    else:
        print_summary(path, Console())
        print(f"\nreport: {page}")


def _print_rows(title: str, rows: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        shown = "none" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), shown)
    Console().print(table)
