"""L3. Whether what was studied is kept: document by document by its gate questions, and a version by what it costs.

A single chunk has a question or two, of which luck decides; a document has more, so that it is judged as a whole, and
held back only where its questions lose more than luck explains: where any loss was enough, documents were held back
that had taught as much as the others (docs/results/learn.md, `benchmarks/gate.py`). A version's adapters are asked
about what was known before, as they would be asked by people: a question of common knowledge that finds its way to a
document is answered by that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from selfedit.learn.answering import Respondent
from selfedit.learn.pipeline import Learning
from selfedit.records import Answer, Lesson, LibraryDocument, LibraryVersion, ProbeResult, Query
from selfedit.store.library import LibraryFolder

_SPREAD = 2.4
"""Standard deviation of what a gate question gains, among those of one document, nats per token; measured by
`benchmarks/gate.py`. A constant: a document's verdict must not hang on other documents, or forgetting one would change
it."""
_SURE = 1.28
"""In standard errors: of documents that gain nothing, one in ten is held back."""


def judge_documents(library: LibraryFolder, documents: Sequence[LibraryDocument], due: Collection[str]) -> None:
    """Rejects documents whose gate questions lose more than luck explains. `due`: names of those to be judged. A chunk
    that several documents have is kept where one of them is."""
    lessons = {key: one for key, one in library.lessons().items() if one.status == "kept"}
    chunks = {one.name: {chunk.context_id for chunk in one.chunks} & lessons.keys() for one in documents}
    reasons = {name: losing(name, [lessons[one] for one in sorted(chunks[name])]) for name in due if name in chunks}
    held = {name for name in chunks if not reasons.get(name)}
    kept = {context_id for name in held for context_id in chunks[name]}
    why = {context_id: reason for name, reason in reasons.items() if reason for context_id in chunks[name] - kept}
    library.add_lessons([replace(lessons[one], status="rejected", reason=reason) for one, reason in why.items()])


def losing(name: str, lessons: Sequence[Lesson]) -> str:
    """Why a document is held back: its gate questions lose more than luck explains, or nothing changed; empty: it is
    not. Without gate questions nothing speaks against it."""
    gains = _gains(lessons)
    if not gains:
        return ""
    if not any(gains):
        return f"the gate questions of {name} gain nothing"
    mean = sum(gains) / len(gains)
    if mean + _SURE * _SPREAD / math.sqrt(len(gains)) > 0:  # False where it is not a number
        return ""
    return f"the gate questions of {name} lose {-mean:.2f} nats per token in the mean"


def gate_gain(lessons: Sequence[Lesson]) -> float | None:
    """Mean gain of the gold answers to all gate questions of these, nats per token; None where none is asked."""
    gains = _gains(lessons)
    return sum(gains) / len(gains) if gains else None


def _gains(lessons: Sequence[Lesson]) -> list[float]:
    return [
        after.gold_logprob - before.gold_logprob
        for one in lessons
        for before, after in zip(one.gate.before, one.gate.after, strict=True)
    ]


def probe_version(
    learning: Learning, version: LibraryVersion, live: LibraryVersion | None, respondent: Callable[[], Respondent]
) -> ProbeResult:
    """What was known before, as the version answers it: by the adapters of the chunks that a question goes astray to;
    every other question, and those that go astray to a chunk that its one adapter knows, by that, where it has one.
    What the learner alone answers right is taken from `live`, where that was probed, and so is what the one adapter
    does, where both have the same."""
    questions = learning.probe.questions
    if live and live.probe and live.probe.asked == len(questions):
        before = live.probe.right_before
    else:
        asker = learning.asker  # loads the model, where that is still to be done
        learning.progress.stage("asking what was known before", len(questions))
        [answers] = asker.ask([(learning.library.learner, questions)])
        before = tuple(_right(learning, questions, answers))
        learning.progress.advance(len(questions))
    replies = respondent().answer([query.question for query in questions]) if version.adapters else []
    astray = [(query, reply) for query, reply in zip(questions, replies, strict=False) if reply.is_known]
    newer = set(version.newer)
    own = {q.question_id: (q, r) for q, r in astray if any(one.match.context.id in newer for one in r.tried)}
    right = {name for name, (q, reply) in own.items() if _right(learning, [q], [reply.as_answer(name)])}
    rest = [query for query in questions if query.question_id not in own]
    right |= _right_with_one(learning, version, live, rest) if version.whole.adapter else set(before) - own.keys()
    after = tuple(query.question_id for query in questions if query.question_id in right)
    return ProbeResult(len(questions), before, after, tuple(query.question_id for query, _ in astray))


def _right_with_one(
    learning: Learning, version: LibraryVersion, live: LibraryVersion | None, questions: Sequence[Query]
) -> set[str]:
    """Ids of those that the one adapter answers right. What it did in the live version, where that has it, it would do
    again; but what went astray there may have been answered by a chunk's own."""
    learnt = live.probe if live and live.whole == version.whole else None
    held = learnt if learnt and learnt.asked == len(learning.probe.questions) else None
    known = set(held.right_after) - set(held.astray) if held else set()
    due = [one for one in questions if held is None or one.question_id in held.astray]
    [answers] = learning.asker.ask([(version.whole, due)]) if due else [()]
    return known & {one.question_id for one in questions} | set(_right(learning, due, answers))


def _right(learning: Learning, questions: Sequence[Query], answers: Sequence[Answer]) -> list[str]:
    """Ids of those that are answered right."""
    graded = learning.grade(questions, answers)
    return [one.question_id for one in graded if one.verdict == "correct"]
