"""L5. Runs, libraries and agents from Python: what the commands do, without a command line."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from selfedit.cli.continual import run_continual
from selfedit.cli.evaluate import run_evaluation
from selfedit.cli.output import Output
from selfedit.cli.progress import show_progress
from selfedit.cli.train import run_train
from selfedit.config import at_least
from selfedit.continual import ContinualConfig
from selfedit.errors import SelfeditError
from selfedit.learn import (
    Consolidation,
    LearningReport,
    LearnSettings,
    LibraryReply,
    Session,
    WholeSettings,
    load_with,
    settings_of,
)
from selfedit.learn.agent import AgentSession, AgentSettings, Rested, read_settings
from selfedit.learn.answering import Weighed
from selfedit.learn.material import absolute
from selfedit.loop import EvalConfig, TrainConfig
from selfedit.protocols import Engine
from selfedit.records import Episode, Feedback, Lesson, LibraryVersion, Observation
from selfedit.store.library import LIVE, LibraryFolder, is_library
from selfedit.tasks import with_own_settings


def train(config: TrainConfig) -> Path:
    """Makes or resumes a run of the outer loop; returns its folder.

    Raises:
        SelfeditError: something that the caller can mend, in one line.
    """
    config = with_own_settings(config)
    return run_train(config, config.run_path("train"), _called())


def evaluate(config: EvalConfig) -> Path:
    """Makes or resumes a table of methods on held-out contexts; returns the run's folder.

    Raises:
        SelfeditError: something that the caller can mend, in one line.
    """
    config = with_own_settings(config)
    return run_evaluation(config, config.run_path("eval"), _called())


def learn_in_sequence(config: ContinualConfig) -> Path:
    """Makes or resumes sequences of updates; returns the run's folder.

    Raises:
        SelfeditError: something that the caller can mend, in one line.
    """
    config = with_own_settings(config)
    return run_continual(config, config.run_path("continual"), _called())


def build_report(run: str | Path) -> Path:
    """Rebuilds the tables, figures and page of a run; returns the page."""
    from selfedit import report

    return report.build_report(Path(run))


def _called() -> Output:
    """The script that runs, in the place of a command; where there is none, as in a notebook, Python alone."""
    script = tuple(sys.argv[:1]) if Path(sys.argv[0]).is_file() else ()
    return Output(script, program="python")


class Library:
    """Documents learnt for good, in a folder; the model is loaded when it is first needed, and kept.

        library = selfedit.Library("notes")
        library.learn("docs/")
        reply = library.ask("Who widened the bridge?")
        reply.text, reply.place, reply.is_known

    Args:
        path: folder of the library; the first `learn` makes it.
        progress: whether what is going on is shown on standard error.
        trust: names of documents that may hold orders to a model.
        settings: fields of `LearnSettings`, for what is learnt from now on (`edits=0`); `device` and `dtype` count for
            whatever is asked, too.

    Raises:
        SelfeditError: a setting is none, or cannot be used.
    """

    def __init__(self, path: str | Path, *, progress: bool = False, trust: Sequence[str] = (), **settings: Any) -> None:
        self.path = Path(path)
        try:
            self.settings = LearnSettings(**settings)
        except ValidationError as error:
            raise SelfeditError(_told("Library", error)) from None
        self._is_shown, self._trusted, self._reference = progress, frozenset(trust), LIVE
        self._engines: list[Engine] = []

    def learn(self, *places: str | Path, questions: str | Path | None = None, minutes: float = 0.0) -> LearningReport:
        """Brings the library to what files, folders and patterns hold now; without any, to what those hold that it
        knows.

        Args:
            questions: file of `selfedit questions`, with tests to take in the place of those that are made.
            minutes: after which no further group of chunks is begun, though they are not learnt yet. 0: never.

        Raises:
            SelfeditError: it cannot be done, in one line; what was finished is kept.
        """
        at_least(0, "minutes", minutes)
        asked = [absolute(str(place)) for place in places]
        given, seconds = Path(questions) if questions else None, 60 * minutes or math.inf
        with self._session(is_learning=True) as session:
            return session.learn(asked, given, seconds, " ".join(["learn", *map(str, places)]))

    def ask(self, question: str) -> LibraryReply:
        """The answer with the place that it is from, or that nothing was learnt about it.

        Raises:
            SelfeditError: there is no library, or it cannot be asked.
        """
        with self._session() as session, LibraryFolder(self.path) as library:
            [reply] = session.respondent(library, library.resolve(self._reference)).answer([question])
            return reply

    def why(self, question: str) -> tuple[Weighed, ...]:
        """All that was weighed for an answer, best first: chunk, answer, and by how much its adapter makes it likelier.

        Raises:
            SelfeditError: as for `ask`.
        """
        return self.ask(question).tried

    def forget(self, *names: str) -> LibraryVersion:
        """The version without these documents, of which nothing is kept.

        Raises:
            SelfeditError: the library knows no such document.
        """
        with self._session() as session:
            return session.forget(names)

    def consolidate(self, **settings: Any) -> Consolidation:
        """One adapter for all, where the gate holds; where it does not, `version` is None and `reasons` say why.

        Args:
            settings: fields of `WholeSettings`.

        Raises:
            SelfeditError: the version knows nothing, or a setting cannot be used.
        """
        try:
            wanted = WholeSettings(**settings)
        except ValidationError as error:
            raise SelfeditError(_told("Library.consolidate", error)) from None
        with self._session() as session:
            return session.consolidate(self._reference, wanted)

    def verify(self) -> dict[str, int]:
        """Asks the proof again: how many `questions`, how many `right`, and how many have `other_answers` than were
        recorded.

        Raises:
            SelfeditError: as for `ask`.
        """
        with self._session() as session, LibraryFolder(self.path) as library:
            return session.verify(library, library.resolve(self._reference))

    def versions(self) -> list[LibraryVersion]:
        """All that can still be asked, oldest first.

        Raises:
            SelfeditError: there is no library.
        """
        with LibraryFolder(self.path) as library:
            return library.versions()

    def at(self, reference: str | int) -> Library:
        """The same library, asked as of another version: a number, an alias, or the beginning of a digest. It shares
        the model that is loaded.

        Raises:
            SelfeditError: there is no such version.
        """
        with LibraryFolder(self.path) as library:
            library.resolve(str(reference))
        other = copy.copy(self)
        other._reference = str(reference)
        return other

    @contextmanager
    def _session(self, is_learning: bool = False) -> Iterator[Session]:
        settings = self.settings
        if is_library(self.path) or not is_learning:
            begun = settings if is_learning else None
            settings = settings_of(self.path, settings.device, settings.dtype, begun)
        with show_progress(sys.stderr) if self._is_shown else nullcontext(_Unseen()) as progress:
            yield Session(self.path, settings, load_with(settings), progress, self._trusted, self._engines)


class Agent:
    """A model that learns from what it is told about what it does; it is loaded when it is first needed, and kept.

        agent = selfedit.Agent("porter")
        did = agent.act("A parcel for Vashti Orrel has come. Where to?")
        agent.observe(Feedback.correction("dock K7", "Everything for Vashti Orrel goes to dock K7."), did.id).line
        agent.rest()

    Args:
        path: folder of the agent's library; the first `act` makes it.
        progress: whether what is going on is shown on standard error.
        settings: fields of `AgentSettings`; of an agent that is there already, what its folder says counts, but for
            `device` and `dtype`.

    Raises:
        SelfeditError: a setting is none, or cannot be used; or the folder holds a library of documents.
    """

    def __init__(self, path: str | Path, *, progress: bool = False, **settings: Any) -> None:
        self.path, self._is_shown = Path(path), progress
        try:
            given = AgentSettings(**settings)
        except ValidationError as error:
            raise SelfeditError(_told("Agent", error)) from None
        own = {"device": given.device, "dtype": given.dtype}
        is_there = is_library(self.path)
        self.settings = read_settings(self.path).model_copy(update=own) if is_there else given
        self._engines: list[Engine] = []

    def act(self, request: str) -> Episode:
        """What it does about a request.

        Raises:
            SelfeditError: the request is empty, or does not fit the model.
        """
        with self._session() as session:
            return session.act(request)

    def observe(self, feedback: Feedback, episode: str = "") -> Observation:
        """Learns from what is said about an episode, by its id; about the last one where none is named. `line` of what
        comes back says in a line what became of it, and why.

        Raises:
            SelfeditError: there is no such episode, something was said about it already, or the feedback contradicts
                itself.
        """
        with self._session() as session:
            return session.observe(feedback, episode)

    def settle(self, lesson: str, *, holds: bool) -> Observation:
        """Says of a lesson that it asked about whether it holds.

        Raises:
            SelfeditError: no lesson that waits is called so.
        """
        with self._session() as session:
            return session.settle(lesson, holds=holds)

    def rest(self) -> Rested:
        """One adapter for all lessons, made anew; where the gate does not hold, `reasons` say why nothing changed.

        Raises:
            SelfeditError: another process changes the agent.
        """
        with self._session() as session:
            return session.rest()

    def forget(self, lesson: str) -> Rested:
        """As if a lesson, by its id or name, had never been said.

        Raises:
            SelfeditError: no lesson is called so.
        """
        with self._session() as session:
            return session.forget(lesson)

    def roll_back(self) -> LibraryVersion:
        """As it was before its last update.

        Raises:
            SelfeditError: there is no version before it.
        """
        with self._session() as session:
            return session.roll_back()

    def history(self, last: int = 100) -> list[tuple[Episode, Observation]]:
        """The last episodes that something was said about, oldest first, with what came of it.

        Raises:
            SelfeditError: the folder cannot be read.
        """
        with self._session() as session:
            return session.history(last)

    def lessons(self) -> list[Lesson]:
        """All that was ever said and not forgotten, oldest first, with what became of it.

        Raises:
            SelfeditError: the folder cannot be read.
        """
        with self._session() as session:
            return session.lessons()

    @contextmanager
    def _session(self) -> Iterator[AgentSession]:
        load = load_with(self.settings.library_settings())
        with show_progress(sys.stderr) if self._is_shown else nullcontext(_Unseen()) as progress:
            yield AgentSession(self.path, self.settings, load, progress, self._engines)


def _told(who: str, error: ValidationError) -> str:
    """What is wrong with keyword arguments, in one line."""
    found = [(".".join(map(str, one["loc"])), one["type"], one["msg"]) for one in error.errors()]
    said = [f"{name}: {'no such setting' if kind == 'extra_forbidden' else text}" for name, kind, text in found]
    return f"{who}: {'; '.join(said)}"


class _Unseen:
    """Progress that nobody watches."""

    def stage(self, name: str, total: int) -> None:
        """See `protocols.Progress.stage`."""

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """See `protocols.Progress.advance`."""
