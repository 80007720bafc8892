"""L3. What came of a learning, and of a question, as plain values for people and for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfedit.learn.answering import LibraryReply
from selfedit.learn.session import LearningReport
from selfedit.records import Lesson, LibraryVersion


def learning_data(version: LibraryVersion, lessons: Mapping[str, Lesson], report: LearningReport) -> dict[str, Any]:
    """Figures of a version, and of the learning that made it."""
    ids = {chunk.context_id for document in version.documents for chunk in document.chunks}
    own = [lessons[one] for one in sorted(ids) if one in lessons]
    kept = list(as_answered(version, {one.context_id: one for one in own if one.status == "kept"}).values())
    probe = version.probe
    return {
        "documents": len(version.documents),
        **{name: len(getattr(report, name)) for name in ("new", "changed", "gone")},
        "chunks_known": len(kept),
        **one_adapter_data(version),
        **{f"chunks_{name}": n for name in ("rejected", "quarantined", "failed") if (n := _count(own, name))},
        **asked_data(kept),
        **({"known_before": len(probe.right_before), "still_known": len(probe.still_right)} if probe else {}),
        "seconds": round(report.seconds, 1),
        "digest": version.digest,
    }


def one_adapter_data(version: LibraryVersion) -> dict[str, int]:
    """Of a consolidated version, how many of its chunks the one adapter answers, and how many, learnt since, are
    answered by their own; nothing of any other."""
    if not version.whole.adapter:
        return {}
    newer = len(version.newer)
    return {"chunks_by_one_adapter": len(version.adapters) - newer, "chunks_by_their_own": newer}


def asked_data(lessons: Sequence[Lesson]) -> dict[str, int]:
    """How many questions that decided nothing lessons have, and how many are right before and after."""
    reported = [one.report for one in lessons]
    return {
        "questions_asked": sum(len(one.before) for one in reported),
        "right_before": sum(answer.verdict == "correct" for one in reported for answer in one.before),
        "right_after": sum(answer.verdict == "correct" for one in reported for answer in one.after),
    }


def as_answered(version: LibraryVersion, lessons: Mapping[str, Lesson]) -> dict[str, Lesson]:
    """The same lessons; of a version with one adapter, their report questions as that answers them."""
    recorded = dict(version.whole_report) if version.whole.adapter else {}
    return {
        name: replace(one, report=replace(one.report, after=recorded[name])) if name in recorded else one
        for name, one in lessons.items()
    }


def reply_data(reply: LibraryReply) -> dict[str, Any]:
    """A reply, with all that was weighed."""
    return {
        "question": reply.question,
        "answer": reply.text if reply.is_known else None,
        "is_known": reply.is_known,
        "confidence": reply.confidence,
        "source": reply.place or None,
        "weighed": [
            {
                "source": one.match.context.source,
                "answer": one.text,
                "words": one.match.fit.share,
                "belonging": one.match.fit.belonging,
                "logprob": one.sureness,
                "lift": one.lift,
                "confidence": one.confidence,
            }
            for one in reply.tried
        ],
    }


def _count(lessons: Sequence[Lesson], status: str) -> int:
    return sum(one.status == status for one in lessons)
