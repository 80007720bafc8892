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
from selfedit.records import Lesson, LibraryDocument, LibraryVersion, Policy, ProbeResult
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
    by its one adapter, every question. What the learner alone answers right is taken from `live`, where that was
    probed."""
    questions = learning.probe.questions
    if live and live.probe and live.probe.asked == len(questions):
        before = live.probe.right_before
    else:
        asker = learning.asker  # loads the model, where that is still to be done
        learning.progress.stage("asking what was known before", len(questions))
        [answers] = asker.ask([(learning.library.learner, questions)])
        graded = learning.grade(questions, answers)
        before = tuple(one.question_id for one in graded if one.verdict == "correct")
        learning.progress.advance(len(questions))
    if version.whole.adapter:
        return _probe_whole(learning, version.whole, respondent(), before)
    replies = respondent().answer([query.question for query in questions]) if version.adapters else []
    astray = [(query, reply) for query, reply in zip(questions, replies, strict=False) if reply.is_known]
    right = {
        query.question_id
        for query, reply in astray
        if learning.grade([query], [reply.as_answer(query.question_id)])[0].verdict == "correct"
    }
    gone = {query.question_id for query, _ in astray}
    after = tuple(q.question_id for q in questions if q.question_id in right or q.question_id in set(before) - gone)
    return ProbeResult(len(questions), before, after, tuple(q.question_id for q, _ in astray))


def _probe_whole(learning: Learning, whole: Policy, respondent: Respondent, before: tuple[str, ...]) -> ProbeResult:
    """Every question asked of one adapter."""
    questions = learning.probe.questions
    [answers] = learning.asker.ask([(whole, questions)])
    after = tuple(one.question_id for one in learning.grade(questions, answers) if one.verdict == "correct")
    astray = tuple(query.question_id for query in questions if respondent.router.match(query.question))
    return ProbeResult(len(questions), before, after, astray)
