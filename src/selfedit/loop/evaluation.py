"""L3. What held-out contexts show: methods side by side, on contexts that never trained the policy.

Each row of the table is one stage of the run, made by a method (methods.py). What methods have in common is here: rows,
where self-edits come from, and the ways of measuring.

Departures from the paper:

1. A trained policy's adapters sit on that policy, as in the paper, so its own base row shows what the update alone did
   to the questions, and `seal-edits` tells better writing from a changed learner.
2. In the setting `cpt` all contexts are studied in one trial, each passage once, and each context's questions are an
   outcome of their own, so that intervals resample contexts in both settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from selfedit import seeds
from selfedit.edits import draw_plan, split_sentences
from selfedit.errors import SelfeditError
from selfedit.loop.lines import with_checks
from selfedit.loop.runtime import Metered, Runtime
from selfedit.loop.trials import PlannedTrial, TrialPlanner, compile_edit, try_all
from selfedit.loop.writing import Write, WritingPlan, write_edits
from selfedit.protocols import InContext, Task, Variable
from selfedit.records import (
    UNTOUCHED,
    Context,
    Invalid,
    Outcome,
    Policy,
    SamplingParams,
    SelfEdit,
    Stage,
    TrainingConfig,
    digest,
)

Family = Literal[
    "baseline", "context", "control", "teacher", "policy", "policy-writes", "external", "in-sight", "other"
]
"""What kind of method it is. `baseline`: nothing is learnt. `context`: the context alone is. `control`: self-edits that
nobody wrote. `teacher`: distillation. `policy`: the policy writes and learns. `policy-writes`: it writes, another
learns. `external`: others wrote. `in-sight`: the context is in the prompt. Reports colour and compare by it."""


@dataclass(frozen=True, slots=True)
class Method:
    """A way of learning from contexts that `eval` can compare; declared once, here with all that reports say of it."""

    name: str
    """As in the run's `methods`, and in `Stage.method`."""
    help: str
    """In a few words."""
    family: Family
    """What kind it is."""
    rows: Callable[[RowRequest], list[Row]]
    """The rows that it means: one, or one for each policy, file or model."""
    measure: Measure
    """How a row is measured."""
    label: str = ""
    """What a row is called. {time}: where the policy stood; {asked}: the prompt, where it is not the run's own; {name}:
    the file or model that self-edits come from. Empty: the name."""
    label_untouched: str = ""
    """The same for a row without a policy's version, where that is called otherwise."""
    cause: str = ""
    """What it did to the model, to begin a sentence with; {name} as above. Empty: headlines pass it over."""
    written: str = ""
    """Who wrote its self-edits; {name} as above. Empty: the policy, before or after its updates."""
    remark: str = ""
    """How its self-edits were studied, where that is out of the ordinary."""
    compared_with: tuple[str, ...] = ("base",)
    """Methods whose untouched row is subtracted from its rows."""
    takes_prompt: bool = False
    """True: `NAME:PROMPT` asks for self-edits by another prompt."""
    needs: str = ""
    """The setting without which it has no rows: `policy`, `edits` or `writer`."""
    tasks: tuple[str, ...] = ()
    """Tasks that it adds itself to, beside those that list it."""
    goes_by_views: bool = False
    """True: it goes by how far the views of a question agree, so that a run with it keeps what each trial's views
    answered."""


@dataclass(frozen=True, slots=True)
class MethodRequest:
    """One entry of a run's `methods`."""

    name: str
    """A method's name."""
    prompt: str = ""
    """How self-edits are asked for; empty: as the run says."""

    def __str__(self) -> str:
        return f"{self.name}:{self.prompt}" if self.prompt else self.name


@dataclass(frozen=True, slots=True)
class RowRequest:
    """What a method is given to say which rows it means."""

    prompt: str
    """Another prompt than the run's; empty: the run's."""
    policies: Sequence[Policy]
    """Trained policies, by version."""
    files: Sequence[str]
    """Names of files of self-edits."""
    writers: Sequence[str]
    """Names of other models that write."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: who writes, how, and who learns."""

    stage: Stage
    """Where in the run."""
    method: Method
    """What is done."""
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
class HeldoutPlan:
    """How held-out contexts are tested."""

    rows: tuple[Row, ...]
    """What is measured, in order."""
    contexts: tuple[Context, ...]
    """On which contexts."""
    training: TrainingConfig
    """The adapter of one trial."""
    sampling: SamplingParams
    """How self-edits are drawn."""
    edits: int
    """Self-edits for each context."""
    seeds: int
    """Trials of each."""
    seed: int
    """The run's seed."""
    is_together: bool = False
    """All contexts in one trial (continued pretraining) instead of a trial each."""
    files: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    """File's name → context id → its self-edits."""
    is_checked: bool = False
    """Of written self-edits only those lines are studied that a check leaves."""

    @property
    def keeps_tallies(self) -> bool:
        """Whether what each trial's views answered is kept."""
        return any(row.method.goes_by_views for row in self.rows)


@dataclass(frozen=True, slots=True)
class Bench:
    """A row's place of measurement: everything that a method's `measure` works with."""

    runtime: Runtime
    """With the row's variant of the task."""
    plan: HeldoutPlan
    """How contexts are tested."""
    row: Row
    """What is measured."""
    write: Write | None = None
    """How another model writes, where the row's self-edits come from one."""
    endpoint: Metered | None = None
    """The endpoint behind it, where there is one."""

    @property
    def trials(self) -> TrialPlanner:
        """Plans the row's trials."""
        runtime, plan = self.runtime, self.plan
        base = runtime.learner_of(self.row.learner)
        return TrialPlanner(runtime.task, runtime.trial_facts, base, plan.training, plan.seeds, plan.seed)

    def try_all(self, planned: Sequence[PlannedTrial]) -> list[Outcome]:
        """The outcomes of what is planned."""
        return try_all(self.runtime, self.row.stage, planned, keeps_tallies=self.plan.keeps_tallies)

    def study(self, edits: Sequence[SelfEdit], is_written: bool = True) -> list[Outcome]:
        """Every self-edit tried with its context; or all contexts together with all of them. `is_written`: somebody has
        written them, so that their lines may have to be checked."""
        plan, method, trials = self.plan, self.row.stage.method, self.trials
        if plan.is_checked and is_written:
            trials = with_checks(self.runtime, self.row.stage, trials, plan.contexts, edits)
        if plan.is_together:
            return self.try_all(trials.together(method, plan.contexts, edits))
        return self.try_all(trials.each_edit(method, plan.contexts, edits))

    def written_edits(self) -> list[SelfEdit]:
        """Self-edits by the row's policy, or by the other model that it names."""
        row, plan = self.row, self.plan
        writing = WritingPlan(row.stage, row.writer, plan.edits, plan.sampling, plan.seed, row.source)
        try:
            return write_edits(self.runtime, writing, plan.contexts, self.write)
        finally:
            self.runtime.note_usage(row.stage, "writer", self.endpoint)

    def given_edits(self, texts_by_id: Mapping[str, Sequence[str]], n: int, source: str) -> list[SelfEdit]:
        """The first `n` of each context, recorded as if written here."""
        edits = []
        for context in self.plan.contexts:
            for index, text in enumerate(texts_by_id[context.id][:n]):
                key = digest("file", source, context.id, text, index)
                spec = compile_edit(self.runtime.task, context, text)
                invalid = spec.reason if isinstance(spec, Invalid) else ""
                edits.append(SelfEdit(key, context.id, self.row.stage, index, 0, text, 0, invalid, writer=source))
        self.runtime.ledger.add_edits(edits)
        return edits


Measure = Callable[[Bench], list[Outcome]]
"""Measures a row."""


def ask_only(bench: Bench) -> list[Outcome]:
    """The policy as it is, asked without the context."""
    return bench.try_all(bench.trials.baseline(bench.plan.contexts))


def ask_in_sight(bench: Bench) -> list[Outcome]:
    """The policy as it is, asked with the context in sight.

    Raises:
        SelfeditError: the task cannot ask so.
    """
    task = bench.runtime.task
    if not isinstance(task, InContext):
        raise SelfeditError(f"{bench.row.stage}: this task cannot ask in sight of the context")
    return bench.try_all(
        [
            bench.trials.asked_only(bench.row.stage.method, context, task.in_context(context))
            for context in bench.plan.contexts
        ]
    )


def study_context(bench: Bench) -> list[Outcome]:
    """The context as the task itself says, without a self-edit."""
    plan, method = bench.plan, bench.row.stage.method
    if plan.is_together:
        return bench.try_all(bench.trials.together(method, plan.contexts, ()))
    return bench.try_all([one for context in plan.contexts for one in bench.trials.studied(method, context, None)])


def study_written(bench: Bench) -> list[Outcome]:
    """Self-edits by the row's policy or by another model."""
    return bench.study(bench.written_edits())


def study_file(bench: Bench) -> list[Outcome]:
    """Self-edits from a file."""
    return bench.study(bench.given_edits(bench.plan.files[bench.row.source], bench.plan.edits, bench.row.source))


def study_sentences(bench: Bench) -> list[Outcome]:
    """The context's own sentences as a self-edit that nobody wrote."""
    texts_by_id = {context.id: [split_sentences(context.text)] for context in bench.plan.contexts}
    return bench.study(bench.given_edits(texts_by_id, 1, "sentences"), is_written=False)


def study_random_plans(bench: Bench) -> list[Outcome]:
    """Study plans that nobody wrote, drawn for each context."""
    plan = bench.plan
    drawn = {
        context.id: [draw_plan(seeds.derive(plan.seed, "random-plan", context.id, i)) for i in range(plan.edits)]
        for context in plan.contexts
    }
    return bench.study(bench.given_edits(drawn, plan.edits, "random-plan"))


def evaluate(
    runtime: Runtime,
    plan: HeldoutPlan,
    writers: Mapping[str, Write] | None = None,
    endpoint: Metered | None = None,
) -> list[Outcome]:
    """Each row's outcomes on the plan's contexts, one stage after another. `writers`: other models, by name."""
    if not plan.contexts:
        return []
    outcomes: list[Outcome] = []
    for row in plan.rows:
        varied = replace(runtime, task=_task_of(row, runtime.task))
        write = (writers or {}).get(row.source)
        if row.method.needs == "writer" and write is None:
            raise SelfeditError(f"{row.stage}: no writer is called {row.source}")
        outcomes += row.method.measure(Bench(varied, plan, row, write, endpoint if write else None))
    return outcomes


def _task_of(row: Row, task: Task) -> Task:
    if not row.prompt and not row.is_distilled:
        return task
    if not isinstance(task, Variable):
        raise SelfeditError(f"{row.stage}: this task has neither other prompts nor distillation")
    varied: Task = task.variant(row.prompt, row.is_distilled)
    return varied
