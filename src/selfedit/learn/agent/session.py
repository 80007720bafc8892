"""L3. An agent that self-edits after each interaction: act, observe, rest; the whole of it without a command line.

    act(request) → an episode     observe(feedback) → a lesson, in sight at once, in the weights with the next update
    rest() → one adapter for all lessons, anew     forget(lesson) → as if it had never been said

Lessons lie in a library, as documents' do: a version never changes, `live` moves, and going back is one step. A lesson
that is not in the weights yet is in sight, so that what was said counts from the next request on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from selfedit.errors import SelfeditError
from selfedit.grading import grade_answers, load_grader
from selfedit.learn.agent.lessons import ALIVE, JudgedFeedback, check, judge, supersede
from selfedit.learn.agent.settings import AgentSettings, keep_settings, read_settings
from selfedit.learn.agent.study import LessonStudy, StudiedLessons
from selfedit.learn.session import LoadEngine, live_version
from selfedit.protocols import Engine, Progress
from selfedit.records import (
    UNTOUCHED,
    Answer,
    ChunkPlace,
    Episode,
    Feedback,
    GradedAnswer,
    Lesson,
    LibraryDocument,
    LibraryVersion,
    Observation,
    Policy,
    Probe,
    Query,
    digest,
)
from selfedit.store.adapters import AdapterFolders
from selfedit.store.episodes import EpisodeLog, is_agent_library
from selfedit.store.library import LIVE, LibraryFolder, check_weights, create_library, is_library
from selfedit.tasks.documents.task import token_counter
from selfedit.tasks.episodes.edits import read_rendering
from selfedit.tasks.probe import BUNDLED, load_probe

GRADER = "line"
_ROOT = "episodes"
"""Where an agent's lessons are from, in the place of a folder."""
QUICK, REST, FORGET = "quick update", "rest", "forget"


@dataclass(frozen=True, slots=True)
class Rested:
    """What came of a rest."""

    version: LibraryVersion | None
    """The live one now; None where nothing was ever learnt."""
    lessons: int
    """That are in its adapter."""
    reasons: tuple[str, ...] = ()
    """Why nothing changed; empty where it did, or where there was nothing to do."""
    tokens: int = 0
    """Trained on."""
    seconds: float = 0.0


@dataclass(frozen=True)
class AgentSession:
    """An agent's library, and how it learns.

    Args:
        path: the library's folder; made when absent.
        settings: how it learns; of an agent that is there already, what `read_settings` says.
        load: gives the model, when it is needed.
    """

    path: Path
    settings: AgentSettings
    load: LoadEngine
    progress: Progress
    engines: list[Engine] = field(default_factory=list)
    """The model, once it has been loaded."""

    def act(self, request: str) -> Episode:
        """What the agent does about a request.

        Raises:
            SelfeditError: the request is empty or does not fit, or the folder holds something else.
        """
        if not request.strip():
            raise SelfeditError("the request is empty")
        self.begin()
        with LibraryFolder(self.path) as library:
            live, noted = live_version(library), self._in_sight(library)
            policy = live.whole if live else UNTOUCHED
        lines = [_line(one) for one in noted]
        action = self.study().act(request, policy, lines)
        number, in_sight = live.number if live else 0, tuple(one.context_id for one in noted)
        with EpisodeLog(self.path) as log:
            return log.add(Episode("", 0, request, action, number, in_sight))

    def observe(self, feedback: Feedback, episode_id: str = "") -> Observation:
        """Learns from what is said about an episode; the last one where none is named.

        Raises:
            SelfeditError: there is no such episode, something was said about it already, or the feedback contradicts
                itself; then nothing changes.
        """
        self.begin()
        with LibraryFolder(self.path) as library, library.changing(), EpisodeLog(self.path) as log:
            episode = log.open(episode_id)
            check(feedback, episode)
            judged = judge(feedback, episode, self.settings, library.lessons(), self._right_action(feedback, episode))
            told = self._take(library, judged)
            log.close_with(episode, feedback, told)
            return told

    def settle(self, lesson: str, *, holds: bool) -> Observation:
        """Says of a lesson that waits whether it holds; where it does, the one that it contradicts does not any more.

        Raises:
            SelfeditError: no lesson that waits is called so.
        """
        with LibraryFolder(self.path) as library, library.changing():
            lessons = library.lessons()
            waiting = _named([one for one in lessons.values() if one.status == "waiting"], lesson, "waits")
            if not holds:
                library.add_lessons([replace(waiting, status="rejected", reason="a person said that it does not hold")])
                return Observation("rejected", "a person said that it does not hold", waiting.context_id)
            old = lessons.get(waiting.source.supersedes) if waiting.source else None
            judged = supersede(waiting, old) if old else JudgedFeedback(replace(waiting, status="noted"))
            return self._take(library, judged)

    def rest(self) -> Rested:
        """Makes one adapter for all that holds, anew; published where the gate holds.

        Raises:
            SelfeditError: the folder holds something else, or another process changes it.
        """
        self.begin()
        with LibraryFolder(self.path) as library, library.changing():
            return self._rest(library)

    def forget(self, lesson: str) -> Rested:
        """The agent as if a lesson had never been said: neither it nor an adapter that knew it is kept.

        Raises:
            SelfeditError: no lesson is called so.
        """
        with LibraryFolder(self.path) as library, library.changing():
            lessons = library.lessons()
            gone = _named(list(lessons.values()), lesson, "is there")
            rest = [one for one in _alive(library) if one.context_id != gone.context_id]
            replaced = lessons.get(gone.source.supersedes) if gone.source and gone.status in ALIVE else None
            if replaced and replaced.status == "superseded":
                rest = sorted([*rest, replaced], key=_age)
            started = time.monotonic()
            trained = (
                self.study().rest(rest, UNTOUCHED, library.learner) if rest else StudiedLessons(UNTOUCHED, (), 0.0, 0)
            )
            if rest and not trained.policy.adapter:
                raise SelfeditError(f"{gone.document}: is not forgotten: {trained.reasons[0]}")
            known = [replace(one, status="kept", reason="", adapter=trained.policy) for one in rest]
            library.add_lessons(known)
            version = _version(known, trained.policy, trained.policy, library.learner.digest, FORGET)
            with EpisodeLog(self.path) as log:
                log.delete([gone.source.episode] if gone.source else [])
            made = library.forget([gone.context_id], {gone.document}, version)
            return Rested(made, len(known), tokens=trained.tokens, seconds=time.monotonic() - started)

    def roll_back(self) -> LibraryVersion:
        """The agent as it was before its last update: that one's lessons hold no more, and those hold again that they
        took the place of.

        Raises:
            SelfeditError: there is no version before it.
        """
        with LibraryFolder(self.path) as library, library.changing():
            live = live_version(library)
            if live is None or not live.parent:
                told = f"version {live.number} has none before it" if live else "nothing was learnt yet"
                raise SelfeditError(f"{self.path}: {told}; forget the lesson instead")
            version = library.resolve(str(live.parent))
            adapters, why = dict(version.adapters), f"an update after version {version.number} was taken back"
            changed = []
            for one in library.lessons().values():
                if one.context_id in adapters:
                    changed.append(replace(one, status="kept", reason="", adapter=adapters[one.context_id]))
                elif one.status in ALIVE:
                    changed.append(replace(one, status="rejected", reason=why))
            library.add_lessons(changed)
            library.point(LIVE, version)  # last: killed before, the same call does the rest
        return version

    def history(self, last: int = 100) -> list[tuple[Episode, Observation]]:
        """The last episodes that something was said about, oldest first, with what came of it."""
        if not is_library(self.path):
            return []
        with EpisodeLog(self.path) as log:
            return log.observations(last)

    def lessons(self) -> list[Lesson]:
        """All that was ever said and not forgotten, oldest first."""
        if not is_library(self.path):
            return []
        with LibraryFolder(self.path) as library:
            return sorted(library.lessons().values(), key=lambda one: one.source.valid_from if one.source else 0)

    def study(self) -> LessonStudy:
        """What studying takes."""
        return LessonStudy(self.engine(), self.settings, _probe(), self.grade, self.progress)

    def engine(self) -> Engine:
        """The model, loaded once."""
        if not self.engines:
            self.engines.append(self.load(AdapterFolders(self.path)))
        [engine] = self.engines
        check_weights(self.path, engine.facts["weights_sha256"], "give the agent another folder")
        return engine

    def grade(self, queries: Sequence[Query], answers: Sequence[Answer]) -> Sequence[GradedAnswer]:
        """Verdicts by rule: an action is right to the word."""
        return grade_answers(load_grader(GRADER, None), queries, answers)

    def begin(self) -> None:
        """Makes the folder where there is none.

        Raises:
            SelfeditError: a library of documents lies there.
        """
        if is_library(self.path):
            if not is_agent_library(self.path):
                read_settings(self.path)
            return
        begun = self.settings.library_settings().kept()
        create_library(self.path, self.engine().facts, UNTOUCHED, begun)
        keep_settings(self.path, self.settings)

    def _right_action(self, feedback: Feedback, episode: Episode) -> str:
        """As the feedback says; where that gives a rule alone, what the agent does with it in sight."""
        if feedback.action or not feedback.said or feedback.kind != "correction":
            return feedback.action
        with LibraryFolder(self.path) as library:
            live = live_version(library)
        return self.study().act(episode.request, live.whole if live else UNTOUCHED, [feedback.said])

    def _in_sight(self, library: LibraryFolder) -> list[Lesson]:
        """Lessons that are not in the weights yet, the newest that fit."""
        noted = [one for one in _alive(library) if one.status == "noted"]
        if not noted:
            return []
        count, left, kept = token_counter(self.settings.model), self.settings.sight_tokens, []
        for one in reversed(noted):
            left -= count(f"- {_line(one)}\n")
            if left < 0:
                break
            kept.append(one)
        return kept[::-1]

    def _take(self, library: LibraryFolder, judged: JudgedFeedback) -> Observation:
        """Stores what was judged, and updates the weights where enough is noted."""
        held = [one for one in (judged.lesson, judged.superseded) if one]
        before = library.lessons().get(judged.superseded.context_id) if judged.superseded else None
        if judged.lesson and judged.lesson.status == "noted":
            held[0] = self.study().written(judged.lesson)
        library.add_lessons(held)
        if judged.observation:
            return judged.observation
        assert judged.lesson is not None
        lesson = judged.lesson
        noted = [one for one in _alive(library) if one.status == "noted"]
        if len(noted) < self.settings.every:
            why = f"in sight from now on; the weights follow after {self.settings.every - len(noted)} more"
            return Observation("noted", why, lesson.context_id)
        started = time.monotonic()
        reasons, version = self._quick(library)
        seconds = time.monotonic() - started
        if reasons:
            library.add_lessons([before] if before else [])
            return Observation("rejected", "; ".join(reasons), lesson.context_id, version, seconds)
        more = ", in the place of an earlier one" if judged.superseded else ""
        return Observation("learnt", f"{_line(lesson)!r}{more}", lesson.context_id, version, seconds)

    def _quick(self, library: LibraryFolder) -> tuple[tuple[str, ...], int]:
        """An update for what is noted; (why not, the live version's number). What does not pass is rejected."""
        live, alive = live_version(library), _alive(library)
        resting = live.resting if live else UNTOUCHED
        older = [one for one in alive if resting.adapter and one.adapter.digest == resting.digest]
        new = [one for one in alive if one not in older]
        noted = {one.context_id for one in alive if one.status == "noted"}
        trained = self.study().quick(new, older, live.whole if live else UNTOUCHED, resting, noted)
        number = live.number if live else 0
        if trained.reasons:
            reason = "; ".join(trained.reasons)
            rejected = [replace(one, status="rejected", reason=reason) for one in new if one.context_id in noted]
            library.add_lessons(rejected)
            library.sweep()
            return trained.reasons, number
        by_id = dict(zip([one.context_id for one in [*new, *older]], trained.tested, strict=True))
        known = [
            replace(one, status="kept", adapter=trained.policy, gate=by_id[one.context_id], drift=trained.drift)
            for one in new
        ]
        library.add_lessons(known)
        version = _version([*older, *known], trained.policy, resting, library.learner.digest, QUICK)
        return (), library.publish(version).number

    def _rest(self, library: LibraryFolder) -> Rested:
        live, alive = live_version(library), _alive(library)
        if not alive:
            return Rested(live, 0)
        if (
            live
            and live.whole.adapter
            and live.whole == live.resting
            and all(one.adapter.digest == live.resting.digest for one in alive)
        ):
            return Rested(live, len(alive))
        started = time.monotonic()
        trained = self.study().rest(alive, live.whole if live else UNTOUCHED, library.learner)
        if trained.reasons:
            library.sweep()
            return Rested(live, len(alive), trained.reasons, trained.tokens, time.monotonic() - started)
        known = [
            replace(one, status="kept", adapter=trained.policy, gate=tested, drift=trained.drift)
            for one, tested in zip(alive, trained.tested, strict=True)
        ]
        library.add_lessons(known)
        version = _version(known, trained.policy, trained.policy, library.learner.digest, REST)
        made = library.publish(version)
        return Rested(made, len(known), (), trained.tokens, time.monotonic() - started)


@cache
def _probe() -> Probe:
    return load_probe(BUNDLED)


def _alive(library: LibraryFolder) -> list[Lesson]:
    """Lessons that hold, oldest first."""
    held = [one for one in library.lessons().values() if one.source and one.status in ALIVE]
    return sorted(held, key=_age)


def _age(lesson: Lesson) -> tuple[int, str]:
    return lesson.source.valid_from if lesson.source else 0, lesson.context_id


def _named(lessons: Sequence[Lesson], name: str, what: str) -> Lesson:
    found = next((one for one in lessons if one.source and name in (one.context_id, one.document)), None)
    if found is None:
        known = ", ".join(one.document for one in lessons[-4:]) or "none"
        raise SelfeditError(f"{name}: no lesson of this name {what}; there are {known}")
    return found


def _line(lesson: Lesson) -> str:
    """A lesson as it stands in sight."""
    return read_rendering(lesson.context.text).rules[0]


def _version(lessons: Sequence[Lesson], whole: Policy, resting: Policy, learner: str, note: str) -> LibraryVersion:
    """A version of what these lessons say."""
    documents = tuple(
        LibraryDocument(
            one.document, digest(one.context.text), _ROOT, (ChunkPlace(one.context_id, one.context.source),)
        )
        for one in sorted(lessons, key=lambda one: one.context_id)
    )
    adapters = tuple(sorted((one.context_id, one.adapter) for one in lessons)) if whole.adapter else ()
    return LibraryVersion(0, 0, documents, adapters, learner, note, whole=whole, resting=resting)
