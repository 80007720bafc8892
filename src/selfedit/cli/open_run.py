"""L5. A run is opened: engines are loaded, the folder is held, and everything that a loop works with is put together.

What can be refused without a model has been refused by then. Torch is imported by what needs it alone, so that `--help`
is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from selfedit.cli.output import Output, say
from selfedit.cli.progress import told_progress
from selfedit.config import FIXED_LEARNER, WARM_LEARNER, RunConfig
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.grading import JudgeGrader, grade_answers, load_grader
from selfedit.loop import EvalConfig, Runtime
from selfedit.loop.warm_up import check_unseen, plan_warm_up, warm_up
from selfedit.protocols import Crewed, Engine, Task
from selfedit.records import UNTOUCHED, Policy, digest
from selfedit.store import AdapterFolders, Ledger, adapter_in, is_adapter, read_ledger
from selfedit.store.run_folder import RunKind, code_version, open_run, read_run

if TYPE_CHECKING:
    from selfedit.engine import TorchEngine
    from selfedit.executors.ray_pool import RayPool

POLICY, LEARNER = "policy", "learner"
"""What a worker's engines are for."""


@contextmanager
def opened(
    kind: RunKind,
    config: RunConfig,
    path: Path,
    task: Task,
    out: Output,
    policies: Sequence[Policy] = (),
    engine: Engine | None = None,
    chosen: str = "",
) -> Iterator[Runtime]:
    """Everything that a run works with, held until the block ends. `policies` live in the run that `config` names;
    `engine`: of `start_engine` on this folder, where it has been started before; `chosen`: what spoke for settings that
    the command itself has chosen, for the record of a new run."""
    grader = load_grader(config.grader, config.judge_settings())
    warming = plan_warm_up(config, task)
    check_unseen(config, task)
    start = adapter_in(config.learner) if is_adapter(config.learner) else UNTOUCHED
    other = getattr(config, "policy", "")
    adapters = AdapterFolders(path, *([Path(other)] if other else []))
    engine = engine or start_engine(config, adapters)
    with _left_in_the_end(engine):
        if isinstance(engine, Crewed) and engine.workers > config.cut_for:
            told = f"{engine.workers} workers, and groups that are cut for {config.cut_for}"
            say(f"{told}: a new run with --cut-for {engine.workers} leaves fewer of them waiting for the last ones")
        learner = start_learner(config, engine, adapters)
        facts = _facts(config, task, out, engine, learner, start, policies)
        facts |= {"chosen": chosen} if chosen else {}
        with (
            open_run(path, kind, config.identity(), facts, config.defaults()) as run,
            Ledger(run.ledger) as ledger,
            told_progress(sys.stderr, path, lambda: engine.staff if isinstance(engine, Crewed) else {}) as progress,
        ):
            runtime = Runtime(
                task=task,
                writer=engine,
                learner=learner,
                grade=partial(grade_answers, grader),
                ledger=ledger,
                progress=progress,
                judge=grader.endpoint if isinstance(grader, JudgeGrader) else None,
                is_learner_fixed=bool(config.learner),
                start=start,
                cut_for=config.cut_for,
            )
            yield replace(runtime, start=warm_up(warming, runtime)) if warming else runtime


@contextmanager
def _left_in_the_end(engine: Engine) -> Iterator[None]:
    try:
        yield
    finally:
        if isinstance(engine, Crewed):
            engine.leave()


def _facts(
    config: RunConfig,
    task: Task,
    out: Output,
    engine: Engine,
    learner: Engine,
    start: Policy,
    policies: Sequence[Policy],
) -> dict[str, str]:
    """What a run finds out about itself."""
    return {
        **engine.facts,
        **({"learner_weights_sha256": learner.facts["weights_sha256"]} if learner is not engine else {}),
        **({"learner_adapter_sha256": start.digest} if start.adapter else {}),
        "bank": str(learner.bank_size),
        "data": digest([task.contexts("train"), task.contexts("heldout")]),
        "policy": ",".join(policy.digest for policy in policies),
        "code": code_version(),
        "command": out.command,
    }


def start_engine(config: RunConfig, adapters: AdapterFolders) -> TorchEngine | RayPool:
    """The engine of the model that writes, on which the policy's adapters can sit, and trials' too if it learns."""
    engine: TorchEngine | RayPool
    if config.executor == "ray":
        engine = _start_workers(config, adapters)[POLICY]
    else:
        from selfedit.engine import load_engine

        engine = load_engine(config.model, config.device, config.dtype, config.bank, adapters, config.write_dtype)
    for name in ("outer",) if _is_other(config.learner) else ("inner", "outer"):
        _check_adapted(engine, config, name)
    if is_adapter(config.learner):
        _check_start(engine, adapter_in(config.learner))
    return engine


def start_learner(config: RunConfig, writer: Engine, adapters: AdapterFolders) -> Engine:
    """The engine of the model that studies and answers; mostly the same."""
    if not _is_other(config.learner):
        return writer
    engine: TorchEngine | RayPool
    if config.executor == "ray":
        from selfedit.executors.ray_pool import RayPool

        assert isinstance(writer, RayPool), "all engines of a run are on the same workers"
        engine = RayPool(writer.crew, writer.dispatcher, adapters, LEARNER)
    else:
        from selfedit.engine import load_engine

        with _named("learner"):
            engine = load_engine(config.learner, config.device, config.dtype, config.bank, adapters)
    _check_adapted(engine, config, "inner")
    return engine


def _start_workers(config: RunConfig, adapters: AdapterFolders) -> Mapping[str, RayPool]:
    """By role: engines on workers, each of which has one of every role."""
    from selfedit.executors.building import LoadModel
    from selfedit.executors.ray_pool import start_pools

    if writer := getattr(config, "writer", ""):
        _check_no_model(writer)
    models = {POLICY: config.model, **({LEARNER: config.learner} if _is_other(config.learner) else {})}
    how = config.device, config.dtype, config.bank
    more = {POLICY: (config.write_dtype, "model"), LEARNER: ("same", "learner")}
    builders = {role: LoadModel(model, *how, *more[role]) for role, model in models.items()}
    return start_pools(builders, adapters, config.ray_address, config.workers, config.device)


def _check_no_model(writer: str) -> None:
    """Refuses another model that writes, which would be loaded where the command runs."""
    if "://" not in writer:
        told = f" {writer}: on workers another writer is an endpoint; give its URL, or take "
        raise SettingError(Field("writer"), told, Field("executor"), " local")


def load_writer(config: EvalConfig) -> Engine:
    """Another model that writes self-edits and does no more."""
    from selfedit.engine import load_engine

    with _named("writer"):
        return load_engine(config.writer, config.device, config.dtype, config.bank, write_dtype=config.write_dtype)


@contextmanager
def _named(field: str) -> Iterator[None]:
    """What is wrong with a model is said of the setting that names it."""
    try:
        yield
    except SettingError as error:
        raise error.about("model", field) from error


def trained_policies(run: Path, task: Task) -> list[Policy]:
    """The trained policies of `run`, by version; none may have been trained on what is held out here."""
    read_run(run)
    if not (run / "ledger.db").is_file():
        raise SettingError(Field("policy"), f" {run}: has no ledger; name a run folder that has trained a policy")
    with read_ledger(run / "ledger.db") as ledger:
        policies = [policy for policy in ledger.policies() if policy.version]
        learnt = {context.text for context in ledger.contexts("train")}
    if not policies:
        raise SettingError(Field("policy"), f" {run}: has trained no policy yet")
    for policy in policies:
        if not (run / policy.adapter).is_dir():
            told = f"{run / policy.adapter}: the adapter of policy {policy.version} is missing"
            raise SelfeditError(f"{told}; the command that trained it, given again, trains it again")
    seen = [context.id for context in task.contexts("heldout") if context.text in learnt]
    if seen:
        told = f" {run}: was trained on {len(seen)} of these held-out contexts, such as {seen[0]}"
        raise SettingError(Field("policy"), told)
    return policies


def _is_other(learner: str) -> bool:
    """Whether another model learns, not this one with or without an adapter."""
    return learner not in ("", FIXED_LEARNER, WARM_LEARNER) and not is_adapter(learner)


def _check_start(engine: TorchEngine | RayPool, start: Policy) -> None:
    """Refuses an adapter that is not for this model."""
    try:
        engine.lay_beneath(start)
    except SelfeditError as error:
        raise SettingError(Field("learner"), f" {start.adapter}: {error}") from error


def _check_adapted(engine: TorchEngine | RayPool, config: RunConfig, name: str) -> None:
    if settings := getattr(config, name, None):
        try:
            engine.adapted(settings)
        except SelfeditError as error:
            raise SettingError(Field(name), f": {error}") from error
