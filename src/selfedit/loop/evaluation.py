"""L3. What held-out contexts show: methods side by side, on contexts that never trained the policy.

Each row of the table is one stage of the run. Its name says who wrote, how it was asked, and which policy:
`eval-base`, `eval-passage`, `eval-sentences`, `eval-synthetic-0` (the untouched model writes and learns),
`eval-synthetic-2` (so does the policy after two updates: SEAL), `eval-synthetic:rewrite-0` (asked by another prompt),
`eval-seal-edits-2` (policy 2 writes, the untouched model learns), `eval-edits:gpt-4.1-0` (from a file),
`eval-writer:NAME-0` (by another model).

Departures from the paper:

1. A trained policy's adapters sit on that policy, as in the paper, so its own base row shows what the update alone did
   to the questions, and `seal-edits` tells better writing from a changed learner.
2. In the setting `cpt` all contexts are studied in one trial, each passage once, and each context's questions are an
   outcome of their own, so that intervals resample contexts in both settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from selfedit.config import EvalConfig, MethodName
from selfedit.edits import split_sentences
from selfedit.loop.kit import Kit, Metered
from selfedit.loop.rehearsal import rehearse
from selfedit.loop.trials import Job, Setup, baseline_jobs, edit_jobs, study_of, try_all
from selfedit.loop.writing import Draw, write_edits
from selfedit.records import Context, Edit, LoraSettings, Outcome, Policy, Sampling, SelfeditError, digest
from selfedit.seams import KnowledgeTask, Task

UNTOUCHED = Policy()
WITHOUT_EDITS = ("passage", "oracle")
"""Methods that study a context as the task itself says."""


@dataclass(frozen=True, slots=True)
class HeldoutPlan:
    """How held-out contexts are tested."""

    inner: LoraSettings
    """The adapter of one trial."""
    sampling: Sampling
    """How self-edits are drawn."""
    edits: int
    """Self-edits for each context."""
    seeds: int
    """Trials of each."""
    run_seed: int
    """The run's seed."""
    is_together: bool = False
    """All contexts in one trial (continued pretraining) instead of a trial each."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: who writes, how, and who learns."""

    stage: str
    """Its name in the ledger."""
    method: str
    """As in `Outcome.method`."""
    learner: Policy = UNTOUCHED
    """What the adapters sit on."""
    writer: Policy = UNTOUCHED
    """Which policy writes, where one does."""
    prompt: str = ""
    """Another way of asking for self-edits; empty: the run's."""
    is_distilled: bool = False
    """The study distils the model that has the context in sight."""
    source: str = ""
    """Name of the file or of the other model that the self-edits come from; empty: the policy's own."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Self-edits that no policy of this run writes."""

    files: Mapping[str, Mapping[str, Sequence[str]]]
    """File's name → context id → its self-edits."""
    writers: Mapping[str, Draw]
    """Another model's name → how it draws texts."""
    endpoint: Metered | None = None
    """The endpoint behind a writer, where there is one."""


NO_SOURCES = Sources({}, {})


def run_eval(
    config: EvalConfig, kit: Kit, policies: Sequence[Policy] = (), sources: Sources = NO_SOURCES
) -> list[Outcome]:
    """The methods of `config` on held-out contexts. `policies`: the trained ones, by version."""
    heldout = take_heldout(kit.task, config.contexts)
    if not heldout:
        raise SelfeditError(f"--data {config.data}: no held-out contexts to evaluate on")
    rows = plan_rows(config.method_names(), policies, sources)
    check_files(rows, sources, heldout)
    kit.ledger.put_contexts("heldout", heldout)
    plan = HeldoutPlan(
        config.inner, config.sampling, config.n_edits, config.seeds, config.seed, config.setting == "cpt"
    )
    return evaluate(kit, rows, heldout, plan, sources)


def take_heldout(task: Task, count: int) -> Sequence[Context]:
    """The first `count` held-out contexts; all for -1."""
    contexts = task.contexts("heldout")
    if count > len(contexts):
        raise SelfeditError(f"{count} held-out contexts asked for, {len(contexts)} there; lower the number")
    return contexts if count == -1 else contexts[:count]


def plan_rows(
    methods: Sequence[MethodName], policies: Sequence[Policy] = (), sources: Sources = NO_SOURCES
) -> list[Row]:
    """The rows that `methods` mean, in the order of methods; a method may mean several."""
    rows = [row for method in methods for row in _ROWS[method.kind](method.prompt, policies, sources)]
    return list({row.stage: row for row in rows}.values())


def rows_of(policy: Policy) -> list[Row]:
    """A trained policy: what its update alone changed, and what its own self-edits teach it."""
    return [Row(f"eval-base-{policy.version}", "base", policy, policy), *_seal("", [policy], NO_SOURCES)]


def check_files(rows: Sequence[Row], sources: Sources, contexts: Sequence[Context]) -> None:
    """Refuses a file of self-edits that has none for a context."""
    for row in rows:
        held = sources.files.get(row.source) if row.method == "edits" else None
        missing = [context.id for context in contexts if held is not None and not held.get(context.id)]
        if missing:
            many = f"{len(missing)} of {len(contexts)} held-out contexts, such as {missing[0]}"
            raise SelfeditError(f"--edits {row.source}: has no self-edit for {many}")


def evaluate(
    kit: Kit, rows: Sequence[Row], contexts: Sequence[Context], plan: HeldoutPlan, sources: Sources = NO_SOURCES
) -> list[Outcome]:
    """Each row's outcomes on `contexts`, one stage after another."""
    if not contexts:
        return []
    outcomes: list[Outcome] = []
    for row in rows:
        varied = replace(kit, task=_task_of(row, kit.task))
        learner = kit.learner(row.learner)
        setup = Setup(varied, learner, plan.inner, plan.seeds, plan.run_seed)
        if row.method == "label-free":
            source = replace(row, stage=f"eval-synthetic-{row.writer.version}", method="synthetic")
            edits = _edits(varied, source, contexts, plan, sources)
            outcomes += rehearse(setup, row.stage, source.stage, contexts, edits)
        else:
            outcomes += try_all(varied, row.stage, learner, _jobs(setup, row, contexts, plan, sources))
    return outcomes


def _jobs(setup: Setup, row: Row, contexts: Sequence[Context], plan: HeldoutPlan, sources: Sources) -> list[Job]:
    if row.method == "base":
        return baseline_jobs(setup, contexts)
    if row.method == "in-context":
        task = _knowledge(setup.kit.task)
        return [setup.asked_only("in-context", context, task.in_context_asks(context)) for context in contexts]
    if row.method in WITHOUT_EDITS:
        edits: Sequence[Edit] = []
    else:
        edits = _edits(setup.kit, row, contexts, plan, sources)
    if plan.is_together:
        return setup.studied_together(row.method, contexts, edits)
    if row.method in WITHOUT_EDITS:
        return [job for context in contexts for job in setup.studied(row.method, context, None)]
    return edit_jobs(setup, contexts, edits, row.method)


def _edits(kit: Kit, row: Row, contexts: Sequence[Context], plan: HeldoutPlan, sources: Sources) -> list[Edit]:
    if row.method == "edits":
        return _given_edits(kit, row, contexts, sources.files[row.source], plan.edits)
    if row.method == "sentences":
        texts_by_id = {context.id: [split_sentences(context.text)] for context in contexts}
        return _given_edits(kit, replace(row, source="sentences"), contexts, texts_by_id, 1)
    draw = sources.writers[row.source] if row.source else None
    try:
        return write_edits(
            kit, row.stage, row.writer, contexts, plan.edits, plan.sampling, plan.run_seed, draw, row.source
        )
    finally:
        kit.note_usage(row.stage, "writer", sources.endpoint if row.source else None)


def _given_edits(
    kit: Kit, row: Row, contexts: Sequence[Context], texts_by_id: Mapping[str, Sequence[str]], n: int
) -> list[Edit]:
    """The first `n` of each context, recorded as if written here."""
    edits = []
    for context in contexts:
        for index, text in enumerate(texts_by_id[context.id][:n]):
            key = digest("file", row.source, context.id, text, index)
            study = study_of(kit.task, context, text)
            invalid = study if isinstance(study, str) else ""
            edits.append(Edit(key, context.id, row.stage, index, 0, text, 0, invalid, writer=row.source))
    kit.ledger.add_edits(edits)
    return edits


def _task_of(row: Row, task: Task) -> Task:
    if row.prompt or row.is_distilled:
        return _knowledge(task).variant(row.prompt, row.is_distilled)
    return task


def _knowledge(task: Task) -> KnowledgeTask:
    return task  # type: ignore[return-value]  # the only tasks that eval compares methods on


Rows = Callable[[str, Sequence[Policy], Sources], list[Row]]
"""(prompt, trained policies, sources) → the rows of a method."""


def _base(prompt: str, policies: Sequence[Policy], sources: Sources) -> list[Row]:
    return [Row("eval-base", "base"), *(rows_of(policy)[0] for policy in policies)]


def _synthetic(prompt: str, policies: Sequence[Policy], sources: Sources) -> list[Row]:
    return [Row(_named("eval-synthetic", prompt, 0), "synthetic", prompt=prompt)]


def _distil(prompt: str, policies: Sequence[Policy], sources: Sources) -> list[Row]:
    return [Row(_named("eval-distil", prompt, 0), "distil", prompt=prompt, is_distilled=True)]


def _seal(prompt: str, policies: Sequence[Policy], sources: Sources) -> list[Row]:
    return [
        Row(_named("eval-synthetic", prompt, policy.version), "synthetic", policy, policy, prompt)
        for policy in policies
    ]


def _seal_edits(prompt: str, policies: Sequence[Policy], sources: Sources) -> list[Row]:
    return [
        Row(_named("eval-seal-edits", prompt, policy.version), "seal-edits", UNTOUCHED, policy, prompt)
        for policy in policies
    ]


def _label_free(prompt: str, policies: Sequence[Policy], sources: Sources) -> list[Row]:
    return [
        Row(f"eval-label-free-{policy.version}", "label-free", policy, policy) for policy in policies or (UNTOUCHED,)
    ]


def _from_files(prompt: str, policies: Sequence[Policy], sources: Sources) -> list[Row]:
    return [Row(_named("eval-edits", name, 0), "edits", prompt=prompt, source=name) for name in sources.files]


def _from_writers(prompt: str, policies: Sequence[Policy], sources: Sources) -> list[Row]:
    return [Row(_named("eval-writer", name, 0), "writer", prompt=prompt, source=name) for name in sources.writers]


def _named(family: str, variant: str, version: int) -> str:
    return f"{family}:{variant}-{version}" if variant else f"{family}-{version}"


_ROWS: dict[str, Rows] = {
    "base": _base,
    "in-context": lambda *_: [Row("eval-in-context", "in-context")],
    "passage": lambda *_: [Row("eval-passage", "passage")],
    "sentences": lambda *_: [Row("eval-sentences", "sentences")],
    "synthetic": _synthetic,
    "distil": _distil,
    "edits": _from_files,
    "writer": _from_writers,
    "seal": _seal,
    "seal-edits": _seal_edits,
    "oracle": lambda *_: [Row("eval-oracle", "oracle")],
    "label-free": _label_free,
}
"""What each method of `config.METHODS` comes down to."""
