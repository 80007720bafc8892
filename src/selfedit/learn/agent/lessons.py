"""L3. From feedback to a lesson, or to why there is none: who says it, whether it can be learnt, what it contradicts.

1. What users and tools say is learnt, what the agent says by itself never: an agent that learns its own words learns
   its own mistakes, and a poisoned one spreads its poison.
2. A lesson is the request, the action that is right there, and what was said word for word. Of a lower score alone
   nothing can be learnt: it says that something was wrong, and not what is right.
3. Two lessons contradict one another where they have the same request, or the same rule by its words, and another
   action. That is decided by words alone; a rule that is said anew in quite other words stands beside the old one,
   unless the feedback names the lesson that it replaces. An environment says the same words of many situations, each
   with a right action of its own; what it says contradicts other lessons about the same request alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from selfedit.errors import SelfeditError
from selfedit.learn.agent.settings import AgentSettings
from selfedit.learn.hostile import why_hostile
from selfedit.learn.routing import Rarity, stems_of
from selfedit.records import Context, Episode, Feedback, Lesson, LessonSource, Observation, Question, digest
from selfedit.tasks.episodes.task import said_text
from selfedit.tasks.episodes.world import Encounter

SAME_RULE = 0.78
"""Share of the shorter rule's words that the other has too, by how rare they are and without those of the actions, from
which on they speak of the same. Chosen on 12 worlds of house rules so that no two different rules of one are taken for
the same; which of the changed ones are found is in docs/results/house-rules.md."""
ALIVE = ("kept", "noted")
"""Lessons that hold."""
GOOD = 0.5
"""From this score on, what was done was right."""


@dataclass(frozen=True, slots=True)
class JudgedFeedback:
    """What a feedback comes to."""

    lesson: Lesson | None = None
    """What is to be learnt, or is kept as rejected; None where there is nothing."""
    observation: Observation | None = None
    """What becomes of it, where that is decided already."""
    superseded: Lesson | None = None
    """A lesson that does not hold any more."""


def judge(
    feedback: Feedback, episode: Episode, settings: AgentSettings, lessons: Mapping[str, Lesson], action: str
) -> JudgedFeedback:
    """What a feedback on an episode comes to.

    Args:
        lessons: those that there are, by context id.
        action: what is right there; as the feedback says, or what the agent does with the rule in sight.

    Raises:
        SelfeditError: the feedback contradicts itself.
    """
    check(feedback, episode)
    if reason := _nothing(feedback, episode):
        return JudgedFeedback(observation=Observation("nothing", reason))
    lesson = _lesson(feedback, episode, settings, action)
    if feedback.author == "self" or feedback.trusted < settings.least_trust:
        who = "the agent says so itself" if feedback.author == "self" else f"its {feedback.author} is not trusted"
        why = f"{who} (trust {feedback.trusted:g}, {settings.least_trust:g} needed)"
        return _rejected(lesson, "rejected", why)
    if order := next(filter(None, map(why_hostile, (feedback.said, action))), ""):
        return _rejected(lesson, "quarantined", order)
    alive = [one for one in lessons.values() if one.status in ALIVE and one.source]
    if any(one.context_id == lesson.context_id for one in alive):
        return JudgedFeedback(
            observation=Observation("nothing", "this very lesson was learnt before", lesson.context_id)
        )
    old = _replaced(feedback, episode, alive) or contradicted(lesson, alive)
    if old is None:
        return JudgedFeedback(lesson)
    if feedback.replaces:
        return supersede(lesson, old)
    if settings.contradictions == "ask":
        why = f"it contradicts what was said in episode {_source(old).valid_from} ({_source(old).action!r} there)"
        waiting = replace(lesson, status="waiting", source=replace(_source(lesson), supersedes=old.context_id))
        return JudgedFeedback(waiting, Observation("asks", f"{why}; settle it", lesson.context_id))
    return supersede(lesson, old)


def supersede(lesson: Lesson, old: Lesson) -> JudgedFeedback:
    """A lesson in the place of another."""
    gone = replace(old, status="superseded", reason=f"another was said in episode {_source(lesson).valid_from}")
    new = replace(lesson, status="noted", source=replace(_source(lesson), supersedes=old.context_id))
    return JudgedFeedback(new, superseded=gone)


def check(feedback: Feedback, episode: Episode) -> None:
    """Refuses feedback that cannot be.

    Raises:
        SelfeditError: it contradicts itself, or says nothing.
    """
    for name, value in (("score", feedback.score), ("trust", feedback.trust)):
        if value is not None and not 0 <= value <= 1:
            raise SelfeditError(f"feedback on {episode.id}: its {name} must be from 0 to 1, not {value}")
    is_other = feedback.action and feedback.action.split() != episode.action.split()
    if feedback.score is not None and feedback.score >= GOOD and is_other:
        told = f"what was done was good ({feedback.score:g}), and another action was right"
        raise SelfeditError(f"feedback on {episode.id} contradicts itself: {told}")
    if feedback.kind == "correction" and feedback.action and not is_other:
        told = "it corrects what was done to the very same"
        raise SelfeditError(f"feedback on {episode.id} contradicts itself: {told}; a score of 1 says that it was right")
    if not feedback.action and not feedback.said and feedback.score is None:
        raise SelfeditError(f"feedback on {episode.id} says nothing: give an action, a rule in words, or a score")


def _replaced(feedback: Feedback, episode: Episode, alive: Sequence[Lesson]) -> Lesson | None:
    """The lesson that a feedback names.

    Raises:
        SelfeditError: none that holds is called so.
    """
    if not feedback.replaces:
        return None
    found = next((one for one in alive if feedback.replaces in (one.context_id, one.document)), None)
    if found is None:
        raise SelfeditError(f"feedback on {episode.id}: no lesson that holds is called {feedback.replaces}")
    return found


def contradicted(lesson: Lesson, alive: Sequence[Lesson]) -> Lesson | None:
    """The newest of these lessons that the given one contradicts; None where it contradicts none."""
    new = _source(lesson)
    rarity = Rarity([_source(one).evidence for one in (*alive, lesson)])
    for old in sorted(alive, key=lambda one: -_source(one).valid_from):
        source = _source(old)
        is_same = source.trigger.split() == new.trigger.split()
        is_again = not is_same and "environment" not in (source.author, new.author)
        if source.action.split() != new.action.split() and (
            is_same or (is_again and is_same_rule(source, new, rarity))
        ):
            return old
    return None


def is_same_rule(one: LessonSource, other: LessonSource, rarity: Rarity) -> bool:
    """Whether two rules speak of the same: what the shorter one is about is nearly all in the other, but for the words
    of their actions."""
    first, second = (stems_of(each.evidence) - stems_of(each.action) for each in (one, other))
    if not first or not second:
        return False
    return rarity.weigh(first & second) >= SAME_RULE * min(rarity.weigh(first), rarity.weigh(second))


def _nothing(feedback: Feedback, episode: Episode) -> str:
    """Why there is nothing to learn; empty where there is."""
    if feedback.score is not None and feedback.score >= GOOD:
        return "what was done was right"
    if not feedback.action and not (feedback.said and feedback.kind == "correction"):
        return "it says that something was wrong, and not what is right"
    return ""


def _lesson(feedback: Feedback, episode: Episode, settings: AgentSettings, action: str) -> Lesson:
    context_id = digest("lesson", episode.request, action, feedback.said)[:16]
    source = LessonSource(
        episode.id, episode.request, action, feedback.said, feedback.author, feedback.trusted, episode.number
    )
    rule = " ".join((feedback.said or f"{episode.request} {action}").split())
    question = Question(f"{context_id}#1", episode.request, action)
    text = said_text(rule, Encounter(" ".join(episode.request.split()), " ".join(action.split())))
    context = Context(context_id, "", text, (question,), f"episode {episode.number}")
    return Lesson(context, f"lesson-{episode.number}", settings.mark, "noted", source=source)


def _rejected(lesson: Lesson, status: str, why: str) -> JudgedFeedback:
    kept = replace(lesson, status=status, reason=why)  # type: ignore[arg-type]
    return JudgedFeedback(kept, Observation("rejected", why, lesson.context_id))


def _source(lesson: Lesson) -> LessonSource:
    if lesson.source is None:
        raise SelfeditError(f"lesson {lesson.context_id}: was not learnt from an episode")
    return lesson.source
