"""L5. `selfedit learn`: a folder of documents becomes a model that knows it."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from selfedit.cli.demo import measure
from selfedit.cli.doctor import known_shape
from selfedit.cli.output import LIBRARY, JsonCommand, Output, say, show
from selfedit.cli.progress import told_progress
from selfedit.cli.sleeping import Sleeper
from selfedit.config import at_least
from selfedit.disk import told
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.learn import LearnSettings, Session, load_with, settings_of
from selfedit.learn.figures import learning_data
from selfedit.learn.material import Material, absolute
from selfedit.learn.session import LearningReport, known_places, live_version
from selfedit.learn.watching import Watched
from selfedit.protocols import Crewed, Progress
from selfedit.recipes.demo import Pace
from selfedit.records import Budget
from selfedit.store.library import LibraryFolder, is_library
from selfedit.tasks.passages.task import PassagesTask
from selfedit.tasks.probe import BUNDLED, load_probe

WEIGHT_BYTES = 4
"""Of a lesson's adapter."""
_PROBED = 3
"""What a lesson's probe takes, in chunks' questions asked."""
_SHOWN = 5
ROUTED_AGAIN = "the one adapter knew what is gone, and is used no more; make it anew: selfedit library consolidate"
"""What is said where a consolidated version gives way to one that is not."""
BESIDE = "newer chunks are answered by their own adapters beside the one; make it anew: selfedit library consolidate"
"""What is said where documents were learnt that the one adapter of a version does not know."""
_BY_EDITS = "minutes_by_self_edits"


@dataclass(frozen=True, kw_only=True)
class Learn(JsonCommand):
    """Learn documents for good: each chunk is studied by self-edits, tested, and kept where that brings something and
    does no harm. Given again, it learns what is new or has changed, and no longer knows what is gone."""

    places: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PATH")] = ()
    """Documents: files, folders or patterns (`docs/**/*.md`). None: those that the library knows, as they are now."""
    library: Path = LIBRARY
    """Folder of the library; made when absent."""
    questions: Path | None = None
    """File of `selfedit questions`, as it was written or mended; chunks that it does not hold are asked about as
    `--tests` says."""
    minutes: float = 0.0
    """About so long, with fewer self-edits where that is needed; what is left is learnt when the command is given
    again. 0: as long as it takes."""
    dry_run: bool = False
    """Say what would be learnt and what it would take, and do nothing."""
    watch: bool = False
    """Go on: wait until documents change, and learn again, a line each time, until Ctrl-C."""
    sleep_after: float = 0.0
    """With `--watch`: where nothing has changed for so many minutes, make one adapter for all that is known, as
    `library consolidate` does, if the live version has none or that does not know all. 0: never."""
    trust: tuple[str, ...] = ()
    """Names of documents that may hold orders to a model, such as a handbook of prompts; they are not quarantined for
    that."""
    settings: Annotated[LearnSettings, tyro.conf.arg(name="")] = field(default_factory=LearnSettings)

    def run(self, out: Output) -> None:
        """Learns, and tells what came of it."""
        at_least(0, "minutes", self.minutes)
        at_least(0, "sleep_after", self.sleep_after)
        if self.sleep_after and not self.watch:
            raise SettingError(Field("sleep_after"), " is for ", Field("watch"))
        if self.watch and self.dry_run:
            raise SettingError(Field("watch"), " and ", Field("dry_run"), " exclude one another")
        if self.watch:
            self._watch(out)
            return
        with told_progress(sys.stderr, self.library) as progress:
            session = self._session(progress)
            if self.dry_run:
                said = examine(session, self._where, self.questions)
                shown = said if out.is_json else {name: said[name] for name in said if name != _BY_EDITS}
                out.rows(f"{self.library}: nothing is done yet", shown)
                return
            report = self._learnt(session)
        tell(out, self.library, report)

    @property
    def _where(self) -> tuple[str, ...]:
        return tuple(map(absolute, self.places))

    def _session(self, progress: Progress) -> Session:
        is_begun = is_library(self.library)
        settings = settings_of(self.library, begun=self.settings) if is_begun else self.settings
        return Session(self.library, settings, load_with(settings), progress, frozenset(self.trust))

    def _learnt(self, session: Session) -> LearningReport:
        if self.minutes:
            session = fitted(session, examine(session, self._where, self.questions), self.minutes)
        note = " ".join(["learn", *self.places])
        return session.learn(self._where, self.questions, 60 * self.minutes or math.inf, note)

    def _watch(self, out: Output) -> None:
        """Learns, and again after every change, until somebody stops it; consolidates where nothing changes."""
        with suppress(KeyboardInterrupt):
            with told_progress(sys.stderr, self.library) as progress:
                session = self._session(progress)
            places = self._where or known_places(self.library)
            sleeper = Sleeper(self.library, self.sleep_after)
            watched = Watched(places, self.library, 60 * self.sleep_after or math.inf)
            for number, changed in enumerate(watched.rounds()):
                if changed is None:
                    with told_progress(sys.stderr, self.library) as progress:
                        sleeper.sleep(session, progress, out)
                    continue
                try:
                    with told_progress(sys.stderr, self.library) as progress:
                        report = self._learnt(replace(session, progress=progress))
                except SettingError as error:
                    if not number:
                        raise
                    say(f"learn: {error.with_flags()}; goes on at the next change")
                except SelfeditError as error:
                    say(f"learn: {error}; goes on at the next change")
                except OSError as error:
                    say(f"learn: {told(error)}; goes on at the next change")
                else:
                    tell_round(out, report)
        say("learn: no longer watching; what was finished is kept")


def examine(session: Session, places: Sequence[str], questions: Path | None) -> dict[str, Any]:
    """What lies there, and what learning it would take here."""
    found, due = session.look(places, questions)
    counts = {
        "documents": len(found.documents),
        "new": len(found.new),
        "changed": len(found.changed),
        "gone": len(found.gone),
        "chunks_to_learn": len(due),
        "questions": sum(len(one.context.questions) + len(one.gate) + len(one.report) for one in due),
    }
    if not due:
        return {**counts, "minutes": 0.0, "disk_mb": 0.0}
    started = time.monotonic()
    session.engine()
    loading = time.monotonic() - started
    pace = _pace(session, due)
    once = loading + _probing(session, due, pace)
    engine = session.engine()
    at_once = min(engine.workers, session.settings.cut_for) if isinstance(engine, Crewed) else 1
    edits_n = range(session.settings.edits + 1)
    by_edits = {edits: _seconds(session.settings, edits, due, pace) / at_once for edits in edits_n}
    minutes = {edits: (once + seconds) / 60 for edits, seconds in by_edits.items()}
    return {
        **counts,
        "minutes": round(minutes[session.settings.edits], 1),
        "minutes_with_sentences_alone": round(minutes[0], 1),
        "disk_mb": round(len(due) * _bytes(session.settings) / 1e6, 1),
        _BY_EDITS: {str(edits): round(value, 1) for edits, value in minutes.items()},
    }


def fitted(session: Session, said: dict[str, Any], minutes: float) -> Session:
    """The same with as many self-edits as fit the time."""
    by_edits = {int(edits): value for edits, value in said.get(_BY_EDITS, {}).items()}
    fitting = [edits for edits, value in by_edits.items() if value <= minutes]
    edits = max(fitting, default=0)
    if not by_edits or edits == session.settings.edits:
        return session
    say(f"learn: with {edits} self-edits a chunk in place of {session.settings.edits}, to fit {minutes:g} minutes")
    if not fitting:
        say(f"learn: about {by_edits[0]:g} minutes are needed; what is left is learnt when the command is given again")
    return session.with_settings(session.settings.model_copy(update={"edits": edits}))


def _pace(session: Session, due: Sequence[Material]) -> Pace:
    contexts = [one.context for one in due if one.context.questions] or [one.context for one in due]
    settings = session.settings
    task = PassagesTask(contexts, (), settings.prompt, inner=settings.inner, answer_tokens=settings.answer_tokens)
    return measure(session.engine(), task, settings.inner, settings.sampling)


def _probing(session: Session, due: Sequence[Material], pace: Pace) -> float:
    """Of the questions of common knowledge, which are asked once, for the first version."""
    if is_library(session.path):
        with LibraryFolder(session.path) as library:
            if (live := live_version(library)) and live.probe:
                return 0.0
    of_a_chunk = max(1.0, sum(len(one.context.questions) for one in due) / len(due))
    return pace.ask * len(load_probe(BUNDLED).questions) / of_a_chunk


def _seconds(settings: LearnSettings, edits: int, due: Sequence[Material], pace: Pace) -> float:
    """Of all lessons: what is tried and studied, what is written, what is asked."""
    budget = Budget.parse(settings.inner.budget)
    words = sum(len(one.context.text.split()) for one in due) / len(due)
    tokens = float(budget.amount) if budget and budget.unit == "tokens" else 2.6 * words * settings.inner.epochs
    studies = 1 + (edits + 1 if edits else 0)
    written = edits * min(settings.sampling.max_new_tokens, 96)
    asked = 2 + (edits + 2 if edits else 0) + _PROBED
    return len(due) * (studies * tokens * pace.train + written * pace.write + asked * pace.ask)


def _bytes(settings: LearnSettings) -> float:
    inner = settings.inner
    return WEIGHT_BYTES * float(
        known_shape(settings.model).adapter_weights(inner.rank, inner.target_modules, inner.top_layers)
    )


def tell(out: Output, path: Path, report: LearningReport) -> None:
    """What came of it, on the terminal."""
    if report.is_idle:
        out.rows(f"{path}: nothing to do", {"documents": len(report.version.documents) if report.version else 0})
        return
    with LibraryFolder(path) as library:
        lessons, name = library.lessons(), library.name
        wholes = {version.number for version in library.versions() if version.whole.adapter}
    version = report.version
    assert version is not None
    out.rows(f"{name}@{version.number}", learning_data(version, lessons, report))
    if version.parent in wholes and version.number not in wholes:
        say(f"{path}: {ROUTED_AGAIN} --library {path}")
    if version.number in wholes and version.newer:
        say(f"{path}: {BESIDE} --library {path}")
    if out.is_json:
        return
    for lesson in [one for one in report.lessons if one.status != "kept"][:_SHOWN]:
        show(f"  {lesson.status}: {lesson.context.source}: {lesson.reason}")
    if report.left:
        show(f"  {report.left} chunks are left for want of time; give the command again")
    show(f'\nask it: selfedit ask "…" --library {path}')


def tell_round(out: Output, report: LearningReport) -> None:
    """What came of one round of a watch, in one line."""
    version = report.version
    documents = len(version.documents) if version else 0
    counts = {name: len(getattr(report, name)) for name in ("new", "changed", "gone")}
    statuses = dict(Counter(lesson.status for lesson in report.lessons))
    found = {"version": version.number if version else None, "documents": documents, **counts, "lessons": statuses}
    if out.is_json:
        print(json.dumps({**found, "left": report.left, "seconds": round(report.seconds, 1)}), flush=True)
        return
    changed = ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "nothing new"
    lessons = ", ".join(f"{n} {name}" for name, n in statuses.items()) or "none"
    left = f", {report.left} left for want of time" if report.left else ""
    at = f"version {version.number}: " if version else ""
    show(f"{at}{documents} documents ({changed}), lessons: {lessons}{left}, {report.seconds:.1f} s")
    sys.stdout.flush()
