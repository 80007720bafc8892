"""L3. Sequences of updates, and what becomes of what was learnt earlier (SEAL §4.3, figure 6).

For each context of a sequence the model writes a self-edit, learns it for good, and is asked about all contexts of the
sequence, those learnt and those to come, and about the probe. Sequences go side by side, a step of all of them at once.
What was finished is in the ledger; a step that was not is done again, from the same seeds.

Departures from the paper:

1. A row for each strategy, on the same sequences and seeds; `none` is the paper's.
2. Sequences share no context while there are enough.
3. Some questions of each context are held back from all results, for strategies that decide by questions.
4. Everything learnt stays an adapter: each version is a folder of its own that names the one that it lies on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from selfedit.continual.learner import Chain, Chooses, Learner, Learnt, Serves, Strategy
from selfedit.continual.plan import SequencePlan, each_once
from selfedit.continual.strategies import row_name, serve_by_oracle
from selfedit.edits import split_sentences
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.loop.regrading import grade_missing, lacks_verdict
from selfedit.loop.runtime import Runtime
from selfedit.loop.trials import compile_edit
from selfedit.records import (
    REGRADING,
    SHARED_EDITS,
    START,
    Answer,
    Completion,
    Context,
    GradedAnswer,
    Invalid,
    Outcome,
    Policy,
    Probe,
    Query,
    SelfEdit,
    Stage,
    Version,
    digest,
)

TESTED, ORACLE, KNOWN, FLUENT = "tested", "oracle", "known", "fluent"
"""Methods of outcomes: a context's questions; the same, served by oracle; the probe's questions; its texts."""
PROBE = "probe"
"""In place of a context's id."""
FEWEST_KNOWN = 5
"""A probe of which the model knows fewer answers says nothing of forgetting."""


def run_sequences(plan: SequencePlan, runtime: Runtime) -> None:
    """Every row's sequences, a row after another. Started again, it goes on.

    Raises:
        SelfeditError: the model knows too little of the probe for forgetting to show.
    """
    runtime.ledger.put_contexts("heldout", each_once(plan.contexts_S))
    learner = Learner(
        engine=runtime.writer,
        task=runtime.task,
        training=plan.training,
        probe=plan.probe,
        start=plan.start,
        seed=plan.seed,
        n_held_back=plan.n_held_back,
        cut_for=runtime.cut_for,
    )
    learner = replace(learner, probe=_ask_at_start(SequenceRun(plan, runtime, learner, ())))
    if any(strategy.reads_general for row in plan.rows for strategy in row):
        runtime.progress.stage("general text that strategies hold to: writing", len(learner.openings))
        learner = learner.with_general_text(runtime.progress.advance)
    for strategies in plan.rows:
        run = SequenceRun(plan, runtime, replace(learner, row=row_name(strategies)), strategies)
        chains = tuple(Chain(index, contexts, plan.start) for index, contexts in enumerate(plan.contexts_S))
        n_steps = len(plan.contexts_S[0])
        runtime.progress.stage(f"{run.row}: updates", n_steps * len(chains))
        for _ in range(n_steps):
            chains = run.advance(chains)
            runtime.progress.advance(len(chains))
    tests = [outcome for outcome in runtime.ledger.outcomes() if outcome.stage != START]
    grade_missing(runtime.ledger, runtime.grade, tests)
    runtime.note_usage(REGRADING, "judge", runtime.judge)


@dataclass(frozen=True, slots=True)
class SequenceRun:
    """One row of an experiment."""

    plan: SequencePlan
    """What is done."""
    runtime: Runtime
    """With what."""
    learner: Learner
    """The model."""
    strategies: tuple[Strategy, ...]
    """What the row does against forgetting."""

    @property
    def row(self) -> str:
        """The strategies' names."""
        return self.learner.row

    def advance(self, chains: Sequence[Chain]) -> tuple[Chain, ...]:
        """All chains after their next context: write, learn, decide, ask."""
        edits = self._choose(chains)
        versions = self._versions(chains, edits)
        after = tuple(
            replace(chain, versions=(*chain.versions, version), edits=(*chain.edits, edit))
            for chain, version, edit in zip(chains, versions, edits, strict=True)
        )
        router = next((one for one in self.strategies if isinstance(one, Serves)), None)
        _test(self, after, TESTED, router.serve if router else None)
        if router:
            _test(self, after, ORACLE, serve_by_oracle)
        return after

    def _choose(self, chains: Sequence[Chain]) -> list[SelfEdit]:
        """The self-edit that each chain studies."""
        chooser = next((one for one in self.strategies if isinstance(one, Chooses)), None)
        drafts_S = self._drafts(chains, chooser.drafts if chooser else 1)
        if known := self._known_versions(chains):
            by_key = {edit.key: edit for drafts in drafts_S for edit in drafts}
            return [by_key[version.edit_key] for version in known]
        return chooser.choose(self.learner, chains, drafts_S) if chooser else [drafts[0] for drafts in drafts_S]

    def _drafts(self, chains: Sequence[Chain], n: int) -> list[list[SelfEdit]]:
        """`n` self-edits about each chain's next context, as many as the source has."""
        plan, ledger = self.plan, self.runtime.ledger
        if plan.files is not None or plan.writer == "sentences":
            return [self._given(chain, n) for chain in chains]
        is_current = plan.writer == "current"
        stage = Stage.sequence(self.row, step=chains[0].step + 1) if is_current else SHARED_EDITS
        wanted = [(chain, i, chain.policy if is_current else plan.start) for chain in chains for i in range(n)]
        keys = [self._edit_key(chain, index, policy) for chain, index, policy in wanted]
        known = {edit.key: edit for edit in ledger.edits(stage)}
        if not all(key in known for key in keys):
            texts = self.learner.write(
                [policy for _, _, policy in wanted],
                [self.learner.task.prompt(chain.next_context) for chain, _, _ in wanted],
                plan.sampling,
                [self._draft_seed(chain, index) for chain, index, _ in wanted],
            )
            written = [
                self._edit(chain.next_context, key, stage, index, text, policy.version)
                for (chain, index, policy), key, text in zip(wanted, keys, texts, strict=True)
            ]
            ledger.add_edits([edit for edit in written if edit.key not in known])
            known = {**{edit.key: edit for edit in written}, **known}
        found = iter([known[key] for key in keys])
        return [[next(found) for _ in range(n)] for _ in chains]

    def _given(self, chain: Chain, n: int) -> list[SelfEdit]:
        """Self-edits that nobody writes here."""
        context, files = chain.next_context, self.plan.files
        texts = [split_sentences(context.text)] if files is None else list(files[context.id])[:n]
        name = "sentences" if files is None else "file"
        edits = [
            self._edit(
                context,
                digest(name, context.id, text, index),
                SHARED_EDITS,
                index,
                Completion(text, 0, True),
                writer=name,
            )
            for index, text in enumerate(texts)
        ]
        self.runtime.ledger.add_edits(edits)
        return edits

    def _edit(
        self,
        context: Context,
        key: str,
        stage: Stage,
        index: int,
        text: Completion | Invalid,
        version: int = 0,
        writer: str = "",
    ) -> SelfEdit:
        if isinstance(text, Invalid):
            return SelfEdit(key, context.id, stage, index, version, "", 0, text.reason, writer)
        spec = compile_edit(self.learner.task, context, text.text)
        invalid = spec.reason if isinstance(spec, Invalid) else ""
        return SelfEdit(key, context.id, stage, index, version, text.text, text.tokens, invalid, writer)

    def _edit_key(self, chain: Chain, index: int, policy: Policy) -> str:
        prompt = self.learner.task.prompt(chain.next_context)
        parts = [dict(self.runtime.writer.facts), policy.digest, prompt, self.plan.sampling]
        return digest(*parts, self._draft_seed(chain, index))

    def _draft_seed(self, chain: Chain, index: int) -> int:
        return self.learner.derive("draft", chain.index, chain.next_context.id, index)

    def _versions(self, chains: Sequence[Chain], edits: Sequence[SelfEdit]) -> list[Version]:
        """What the step makes of each chain; the ledger's, if this was done before and their adapters are there."""
        known = self._known_versions(chains)
        if known and all(self.runtime.has_adapter(version.policy) for version in known):
            return known
        started = time.monotonic()
        learnt = self.learner.learn(chains, edits, self.strategies)
        share = (time.monotonic() - started) / len(chains)
        versions = [_version(self.row, *parts, share) for parts in zip(chains, edits, learnt, strict=True)]
        if known:
            self.runtime.check_same([one.policy for one in known], [one.policy for one in versions])
            return known
        self.runtime.ledger.add_versions(versions)
        self.runtime.ledger.add_timing(Stage.sequence(self.row), "updates", share * len(chains))
        return versions

    def _known_versions(self, chains: Sequence[Chain]) -> list[Version]:
        """This step's, where the ledger has them for all chains; else none."""
        of_step = {v.chain: v for v in self.runtime.ledger.versions(self.row) if v.step == chains[0].step + 1}
        found = [of_step.get(chain.index) for chain in chains]
        return [version for version in found if version] if all(found) else []


def _version(row: str, chain: Chain, edit: SelfEdit, learnt: Learnt, seconds: float) -> Version:
    result, decision = learnt.result, learnt.decision
    return Version(
        row=row,
        chain=chain.index,
        step=chain.step + 1,
        context_id=edit.context_id,
        edit_key=edit.key,
        policy=decision.policy,
        parent=learnt.update.base,
        factor=decision.factor,
        note=decision.note or (f"the context alone: {edit.invalid}" if edit.invalid else ""),
        losses=result.losses,
        steps=result.steps,
        tokens=result.tokens,
        seconds=seconds,
        failure=result.failure,
    )


Serve = Callable[[Learner, Chain, Mapping[str, Query]], dict[str, Policy]]
"""As in `Serves`."""
Lot = tuple[str, str]
"""Questions that become one outcome: (context id, method). Ids of questions are unique within a lot, and among lots of
contexts; the probe's may be those of a context."""
Asked = Mapping[Lot, Sequence[Query]]
"""What is asked."""
Said = Mapping[tuple[Lot, str], Answer]
"""(lot, question id) → what was answered."""


def _ask_at_start(run: SequenceRun) -> Probe:
    """Asks everything before anything is learnt; returns the probe with the questions that were answered right.

    Raises:
        SelfeditError: too few were.
    """
    runtime, plan, learner = run.runtime, run.plan, run.learner
    runtime.progress.stage(f"{START}: questions", 1)
    found = runtime.ledger.outcomes(START)
    if found and not runtime.ledger.versions():  # nothing has been built on the verdicts yet
        found = grade_missing(runtime.ledger, runtime.grade, found)
    if not found:
        asked: Asked = {(c.id, TESTED): learner.tests(c) for c in each_once(plan.contexts_S)} | _probe_queries(learner)
        flat = [(lot, query) for lot, queries in asked.items() for query in queries]
        [answers] = learner.ask([(plan.start, [query for _, query in flat])])
        said = {(lot, query.question_id): answer for (lot, query), answer in zip(flat, answers, strict=True)}
        found = _outcomes(run, START, Chain(0, (), plan.start), asked, said)
        runtime.ledger.add_outcomes(found)
    runtime.note_usage(START, "judge", runtime.judge)
    runtime.progress.advance(1)
    [known] = [outcome for outcome in found if outcome.method == KNOWN]
    right = {answer.question_id for answer in known.answers if answer.verdict == "correct"}
    n_open = sum(map(lacks_verdict, known.answers))
    if len(right) < FEWEST_KNOWN and n_open:
        told = f"{START}: {n_open} of {len(known.answers)} questions of the probe have no verdict"
        raise SelfeditError(f"{told}; what was asked is kept: run again when the judge answers")
    if len(right) < FEWEST_KNOWN:
        told = f": the model gets {len(right)} of {len(known.answers)} questions right before it learns anything"
        raise SettingError(Field("probe"), f"{told}; at least {FEWEST_KNOWN} are needed")
    return replace(learner.probe, questions=tuple(q for q in learner.probe.questions if q.question_id in right))


def _test(run: SequenceRun, chains: Sequence[Chain], method: str, serve: Serve | None) -> None:
    """What every chain answers after a step: on all its contexts and, but for the oracle, the probe; where not all is
    asked, on the context just learnt."""
    runtime, learner, step = run.runtime, run.learner, chains[0].step
    is_whole = step % run.plan.ask_every == 0 or step == len(chains[0].contexts)
    stages = {chain.index: Stage.sequence(run.row, chain.index, step) for chain in chains}
    if all(any(o.method == method for o in runtime.ledger.outcomes(stage)) for stage in stages.values()):
        return
    started = time.monotonic()
    served: dict[tuple[int, Policy], list[tuple[Lot, Query]]] = {}
    asked_S: list[Asked] = []
    for chain in chains:
        contexts = chain.contexts if is_whole else chain.contexts[step - 1 : step]
        asked: dict[Lot, Sequence[Query]] = {(c.id, method): learner.tests(c) for c in contexts}
        asked_S.append(asked | _probe_queries(learner) if is_whole and method == TESTED else asked)
        for part in _parts(asked_S[-1]):
            by_id = {query.question_id: (lot, query) for lot, queries in part.items() for query in queries}
            given = {query_id: query for query_id, (_, query) in by_id.items()}
            by_whom = serve(learner, chain, given) if serve else dict.fromkeys(given, chain.policy)
            for query_id, policy in by_whom.items():
                served.setdefault((chain.index, policy), []).append(by_id[query_id])
    answers_P = learner.ask([(policy, [query for _, query in some]) for (_, policy), some in served.items()])
    said_S: dict[int, dict[tuple[Lot, str], Answer]] = {chain.index: {} for chain in chains}
    for ((index, _), some), answers in zip(served.items(), answers_P, strict=True):
        said_S[index].update({(lot, query.question_id): a for (lot, query), a in zip(some, answers, strict=True)})
    outcomes: list[Outcome] = []
    for chain, asked_of in zip(chains, asked_S, strict=True):
        outcomes += _outcomes(run, stages[chain.index], chain, asked_of, said_S[chain.index])
    runtime.ledger.add_outcomes(outcomes)
    runtime.note_usage(Stage.sequence(run.row), "judge", runtime.judge)
    runtime.ledger.add_timing(Stage.sequence(run.row), "tests", time.monotonic() - started)


def _parts(asked: Asked) -> list[Asked]:
    """The questions of contexts, and those of the probe: ids are unique within each."""
    probed = [
        {lot: some for lot, some in asked.items() if (lot[1] in (KNOWN, FLUENT)) is is_probe}
        for is_probe in (False, True)
    ]
    return [part for part in probed if part]


def _probe_queries(learner: Learner) -> dict[Lot, Sequence[Query]]:
    return {(PROBE, KNOWN): learner.probe.questions, (PROBE, FLUENT): learner.probe.texts}


def _outcomes(run: SequenceRun, stage: Stage, chain: Chain, asked: Asked, said: Said) -> list[Outcome]:
    """One for each context, and two for the probe. Texts have log-probabilities alone."""
    grade = run.runtime.grade
    graded = {
        lot: _unspoken(lot, queries, said)
        if lot[1] == FLUENT
        else grade(queries, [said[lot, q.question_id] for q in queries])
        for lot, queries in asked.items()
    }
    marks = [version.policy.digest for version in chain.versions]
    return [
        Outcome(
            key=digest(marks, stage.name, context_id, method),
            stage=stage,
            method=method,
            context_id=context_id,
            edit_key="",
            policy=chain.policy.version,
            seed_index=chain.index,
            answers=tuple(answers),
        )
        for (context_id, method), answers in graded.items()
    ]


def _unspoken(lot: Lot, queries: Sequence[Query], said: Said) -> list[GradedAnswer]:
    return [
        GradedAnswer(
            q.question_id, q.question, "", "", said[lot, q.question_id].gold_logprob, "ungraded", False, 0.0, False
        )
        for q in queries
    ]
