"""L3. Learning one context after another, and what becomes of the earlier ones (SEAL §4.3, figure 6).

For each context of a sequence the model writes a self-edit, learns it for good, and is asked about all contexts of the
sequence, those learnt and those to come, and about the probe. Sequences go side by side, a step of all of them at once.
What was finished is in the ledger; a step that was not is done again, from the same seeds.

Departures from the paper:

1. A row for each remedy, on the same sequences and seeds; `none` is the paper's.
2. Sequences share no context while there are enough.
3. Some questions of each context are held back from all results, for remedies that decide by questions.
4. Everything learnt stays an adapter: each version is a folder of its own that names the one that it lies on.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from selfedit import seeds
from selfedit.config import ContinualConfig
from selfedit.edits import split_sentences
from selfedit.loop.chains import Chain, Course, Kept, Remedy, Serve, Step, check_row, plain_update, write_general
from selfedit.loop.kit import Kit
from selfedit.loop.remedies import REMEDIES, by_oracle
from selfedit.loop.trials import study_of
from selfedit.records import Answer, Ask, Context, Edit, GradedAnswer, Outcome, Policy, SelfeditError, Written, digest
from selfedit.seams import Keeper, Task
from selfedit.versions import Learnt, Probe, Update, Version

START = "start"
"""The stage in which nothing has been learnt yet."""
TESTED, ORACLE, KNOWN, FLUENT = "tested", "oracle", "known", "fluent"
"""Methods of outcomes: a context's questions; the same, served by oracle; the probe's questions; its texts."""
PROBE = "probe"
"""In place of a context's id."""
FEWEST_KNOWN = 5
"""A probe of which the model knows fewer answers says nothing of forgetting."""

Files = Mapping[str, Sequence[str]]
"""Context id → self-edits from files."""


def run_sequences(
    config: ContinualConfig, kit: Kit, keeper: Keeper, probe: Probe, start: Policy, files: Files | None = None
) -> None:
    """Every row's sequences, a row after another. Started again, it goes on."""
    rows = plan_remedies(config)
    contexts_S = draw_sequences(kit.task, config)
    check_contexts(config, contexts_S, files)
    kit.ledger.put_contexts("heldout", _each_once(contexts_S))
    first = Course(config, kit, keeper, probe, start, START)
    first = replace(first, probe=_ask_at_start(first, contexts_S))
    if any(remedy.reads_general for remedies in rows.values() for remedy in remedies):
        first = replace(first, general=write_general(first))
    for names, remedies in rows.items():
        course = replace(first, row=names)
        chains = tuple(Chain(index, contexts, start) for index, contexts in enumerate(contexts_S))
        kit.progress.stage(f"{names}: updates", config.contexts * len(chains))
        for _ in range(config.contexts):
            chains = advance(Step(course, chains), remedies, files)
            kit.progress.advance(len(chains))


def plan_remedies(config: ContinualConfig) -> dict[str, tuple[Remedy, ...]]:
    """Row's name → its remedies, in the order in which they act.

    Raises:
        SelfeditError: one is unknown, or two contradict each other.
    """
    order = list(REMEDIES)
    rows = {}
    for names in config.rows():
        check_row(names, REMEDIES)
        ordered = sorted(names, key=order.index)
        rows["+".join(ordered)] = tuple(REMEDIES[name] for name in ordered)
    shaped = [row for row, remedies in rows.items() if any(remedy.choose for remedy in remedies)]
    if shaped and config.writer == "sentences":
        raise SelfeditError(
            f"--remedy {shaped[0]} chooses among self-edits, and --writer sentences has one; use another"
        )
    if shaped and not config.held_back:
        raise SelfeditError(f"--remedy {shaped[0]} chooses by held-back questions; --held-back must be at least 1")
    return rows


def draw_sequences(task: Task, config: ContinualConfig) -> list[tuple[Context, ...]]:
    """The contexts of each sequence, in order.

    Raises:
        SelfeditError: a sequence is longer than there are contexts.
    """
    pool = list(task.contexts("heldout"))
    if config.contexts > len(pool):
        named = config.heldout_data or config.data
        raise SelfeditError(f"--contexts {config.contexts}: {named} has {len(pool)} held out; lower it, or give more")
    shuffled = _shuffled(pool, config.seed, 0)
    if config.sequences * config.contexts <= len(pool):
        starts = range(0, config.sequences * config.contexts, config.contexts)
        return [tuple(shuffled[at : at + config.contexts]) for at in starts]
    return [tuple(_shuffled(pool, config.seed, number)[: config.contexts]) for number in range(config.sequences)]


def check_contexts(config: ContinualConfig, contexts_S: Sequence[Sequence[Context]], files: Files | None) -> None:
    """Refuses contexts that leave nothing to ask, or that `--edits` has nothing for."""
    for context in _each_once(contexts_S):
        if len(context.questions) <= config.held_back:
            why = f"{context.id} has no more questions than that, so that none is left to ask"
            raise SelfeditError(f"--held-back {config.held_back}: {why}; lower it")
        if files is not None and not files.get(context.id):
            raise SelfeditError(f"--edits: has no self-edit for {context.id}")


def advance(step: Step, remedies: Sequence[Remedy], files: Files | None) -> tuple[Chain, ...]:
    """All chains after their next context: write, learn, accept, ask."""
    course = step.course
    edits = _choose(step, remedies, files)
    versions = _versions(step, remedies, edits)
    after = tuple(
        replace(chain, versions=(*chain.versions, version), edits=(*chain.edits, edit))
        for chain, version, edit in zip(step.chains, versions, edits, strict=True)
    )
    serve = next((remedy.serve for remedy in remedies if remedy.serve), None)
    _test(course, after, TESTED, serve)
    if serve:
        _test(course, after, ORACLE, by_oracle)
    return after


def _choose(step: Step, remedies: Sequence[Remedy], files: Files | None) -> list[Edit]:
    """The self-edit that each chain studies."""
    choose = next((remedy.choose for remedy in remedies if remedy.choose), None)
    n = step.course.config.drafts if choose else 1
    drafts_S = _drafts(step, n, files)
    known = _known_versions(step)
    if known:
        by_key = {edit.key: edit for drafts in drafts_S for edit in drafts}
        return [by_key[version.edit_key] for version in known]
    return choose(step, drafts_S) if choose else [drafts[0] for drafts in drafts_S]


def _drafts(step: Step, n: int, files: Files | None) -> list[list[Edit]]:
    """`n` self-edits about each chain's next context, as many as the source has."""
    course, config = step.course, step.course.config
    if files is not None or config.writer == "sentences":
        return [_given(course, chain, n, files) for chain in step.chains]
    is_current = config.writer == "current"
    stage = f"{course.row}/{step.number + 1}" if is_current else "edits"
    wanted = [
        (chain, index, chain.policy if is_current else course.start) for chain in step.chains for index in range(n)
    ]
    keys = [_edit_key(step, chain, index, policy) for chain, index, policy in wanted]
    known = {edit.key: edit for edit in course.kit.ledger.edits(stage)}
    if not all(key in known for key in keys):
        texts = course.keeper.write(
            course.kit.home,
            [policy for _, _, policy in wanted],
            [course.task.prompt(chain.next_context) for chain, _, _ in wanted],
            config.sampling,
            [_draft_seed(course, chain, index) for chain, index, _ in wanted],
        )
        written = [
            _edit(course, chain.next_context, key, stage, index, policy.version, text)
            for (chain, index, policy), key, text in zip(wanted, keys, texts, strict=True)
        ]
        course.kit.ledger.add_edits([edit for edit in written if edit.key not in known])
        known = {**{edit.key: edit for edit in written}, **known}
    found = iter([known[key] for key in keys])
    return [[next(found) for _ in range(n)] for _ in step.chains]


def _given(course: Course, chain: Chain, n: int, files: Files | None) -> list[Edit]:
    """Self-edits that nobody writes here."""
    context = chain.next_context
    texts = [split_sentences(context.text)] if files is None else list(files[context.id])[:n]
    name = "sentences" if files is None else "file"
    edits = [
        _edit(course, context, digest(name, context.id, text, index), "edits", index, 0, Written(text, 0, True), name)
        for index, text in enumerate(texts)
    ]
    course.kit.ledger.add_edits(edits)
    return edits


def _edit(
    course: Course, context: Context, key: str, stage: str, index: int, version: int, text: Written, writer: str = ""
) -> Edit:
    study = study_of(course.task, context, text.text)
    invalid = study if isinstance(study, str) else ""
    return Edit(key, context.id, stage, index, version, text.text, text.tokens, invalid, writer)


def _edit_key(step: Step, chain: Chain, index: int, policy: Policy) -> str:
    course = step.course
    parts = [dict(course.kit.facts), policy.digest, course.task.prompt(chain.next_context), course.config.sampling]
    return digest(*parts, _draft_seed(course, chain, index))


def _draft_seed(course: Course, chain: Chain, index: int) -> int:
    return course.seed("draft", chain.index, chain.next_context.id, index)


def _versions(step: Step, remedies: Sequence[Remedy], edits: Sequence[Edit]) -> list[Version]:
    """What the step makes of each chain; the ledger's, if this was done before."""
    if known := _known_versions(step):
        return known
    started = time.monotonic()
    course = step.course
    updates = [plain_update(step, chain, edit) for chain, edit in zip(step.chains, edits, strict=True)]
    for remedy in remedies:
        updates = remedy.plan(step, updates) if remedy.plan else updates
    learnt = course.keeper.learn(course.kit.home, updates)
    accept = next((remedy.accept for remedy in remedies if remedy.accept), _accept_all)
    kept = accept(step, learnt)
    share = (time.monotonic() - started) / len(step.chains)
    versions = [_version(step, *parts, share) for parts in zip(step.chains, edits, updates, learnt, kept, strict=True)]
    course.kit.ledger.add_versions(versions)
    course.kit.ledger.add_timing(f"{course.row}/updates", share * len(step.chains))
    return versions


def _known_versions(step: Step) -> list[Version]:
    """This step's, where the ledger has them for all chains; else none."""
    of_step = {v.chain: v for v in step.course.kit.ledger.versions(step.course.row) if v.step == step.number + 1}
    found = [of_step.get(chain.index) for chain in step.chains]
    return [version for version in found if version] if all(found) else []


def _accept_all(step: Step, learnt: Sequence[Learnt]) -> list[Kept]:
    return [
        Kept(result.policies[0], 1.0) if result.policies else Kept(chain.policy, 0.0)
        for chain, result in zip(step.chains, learnt, strict=True)
    ]


def _version(
    step: Step, chain: Chain, edit: Edit, update: Update, learnt: Learnt, kept: Kept, seconds: float
) -> Version:
    return Version(
        row=step.course.row,
        chain=chain.index,
        step=step.number + 1,
        context_id=edit.context_id,
        edit_key=edit.key,
        policy=kept.policy,
        parent=update.policy,
        factor=kept.factor,
        note=kept.note or (f"the passage alone: {edit.invalid}" if edit.invalid else ""),
        losses=learnt.losses,
        steps=learnt.steps,
        tokens=learnt.tokens,
        seconds=seconds,
        failure=learnt.failure,
    )


def _ask_at_start(course: Course, contexts_S: Sequence[Sequence[Context]]) -> Probe:
    """Asks everything before anything is learnt; returns the probe with the questions that were answered right.

    Raises:
        SelfeditError: too few were.
    """
    contexts = _each_once(contexts_S)
    course.kit.progress.stage(f"{START}: questions", 1)
    found = course.kit.ledger.outcomes(START)
    if not found:
        asks: Asked = {(c.id, TESTED): course.tests(c) for c in contexts} | _probe_asks(course)
        flat = [ask for lot in asks.values() for ask in lot]
        [answers] = course.keeper.ask(course.kit.home, [(course.start, flat)])
        said = {answer.question_id: answer for answer in answers}
        found = _outcomes(course, START, Chain(0, (), course.start), asks, said)
        course.kit.ledger.add_outcomes(found)
        course.kit.note_usage(START, "judge", course.kit.judge)
    course.kit.progress.advance(1)
    [known] = [outcome for outcome in found if outcome.method == KNOWN]
    right = {answer.question_id for answer in known.answers if answer.verdict == "right"}
    if len(right) < FEWEST_KNOWN:
        told = f"the model gets {len(right)} of {len(known.answers)} questions right before it learns anything"
        raise SelfeditError(f"--probe {course.config.probe}: {told}; at least {FEWEST_KNOWN} are needed")
    questions = tuple(ask for ask in course.probe.questions if ask.question_id in right)
    return replace(course.probe, questions=questions)


def _test(course: Course, chains: Sequence[Chain], method: str, serve: Serve | None) -> None:
    """What every chain answers after a step: on all its contexts and, but for the oracle, the probe; where not all is
    asked, on the context just learnt."""
    step = len(chains[0].versions)
    is_whole = step % course.config.ask_every == 0 or step == len(chains[0].contexts)
    stages = {chain.index: f"{course.row}/{chain.index}/{step}" for chain in chains}
    if all(any(o.method == method for o in course.kit.ledger.outcomes(stage)) for stage in stages.values()):
        return
    started = time.monotonic()
    asked: dict[tuple[int, Policy], list[Ask]] = {}
    asks_S = []
    for chain in chains:
        contexts = chain.contexts if is_whole else chain.contexts[step - 1 : step]
        asks: dict[tuple[str, str], Sequence[Ask]] = {(c.id, method): course.tests(c) for c in contexts}
        asks_S.append(asks | _probe_asks(course) if is_whole and method == TESTED else asks)
        by_id = {ask.question_id: ask for lot in asks_S[-1].values() for ask in lot}
        served = serve(course, chain, by_id) if serve else dict.fromkeys(by_id, chain.policy)
        for ask_id, policy in served.items():
            asked.setdefault((chain.index, policy), []).append(by_id[ask_id])
    answers_P = course.keeper.ask(course.kit.home, [(policy, asks) for (_, policy), asks in asked.items()])
    said = {
        (index, answer.question_id): answer
        for (index, _), answers in zip(asked, answers_P, strict=True)
        for answer in answers
    }
    outcomes: list[Outcome] = []
    for chain, asks in zip(chains, asks_S, strict=True):
        own = {ask_id: answer for (index, ask_id), answer in said.items() if index == chain.index}
        outcomes += _outcomes(course, stages[chain.index], chain, asks, own)
    course.kit.ledger.add_outcomes(outcomes)
    course.kit.note_usage(course.row, "judge", course.kit.judge)
    course.kit.ledger.add_timing(f"{course.row}/tests", time.monotonic() - started)


Asked = Mapping[tuple[str, str], Sequence[Ask]]
"""(context id, method of the outcome) → what is asked."""


def _probe_asks(course: Course) -> dict[tuple[str, str], Sequence[Ask]]:
    return {(PROBE, KNOWN): course.probe.questions, (PROBE, FLUENT): course.probe.texts}


def _outcomes(course: Course, stage: str, chain: Chain, asks: Asked, said: Mapping[str, Answer]) -> list[Outcome]:
    """One for each context, and two for the probe. Texts have log-probabilities alone."""
    graded = {
        key: _unspoken(lot, said) if key[1] == FLUENT else course.kit.grade(lot, [said[a.question_id] for a in lot])
        for key, lot in asks.items()
    }
    marks = [version.policy.digest for version in chain.versions]
    return [
        Outcome(
            key=digest(marks, stage, context_id, method),
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


def _unspoken(asks: Sequence[Ask], said: Mapping[str, Answer]) -> list[GradedAnswer]:
    return [
        GradedAnswer(
            ask.question_id, ask.question, "", "", said[ask.question_id].gold_logprob, "ungraded", False, 0.0, False
        )
        for ask in asks
    ]


def _each_once(contexts_S: Sequence[Sequence[Context]]) -> list[Context]:
    return list({context.id: context for contexts in contexts_S for context in contexts}.values())


def _shuffled(contexts: Sequence[Context], seed: int, number: int) -> list[Context]:
    mixed = list(contexts)
    random.Random(seeds.derive(seed, "sequences", number)).shuffle(mixed)
    return mixed
