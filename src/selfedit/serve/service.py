"""L4. A library that is being served: its folder, its versions, the model thread, and questions put to a version.

One thread owns the engine; nothing else touches torch. Everybody else hands it work and waits.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from selfedit.errors import SelfeditError
from selfedit.learn import LearnSettings, LibraryReply, Respondent, Session
from selfedit.learn.asking import Asker
from selfedit.learn.session import LoadEngine
from selfedit.protocols import LiveWriter, WritesLive
from selfedit.records import LibraryVersion
from selfedit.serve.knowledge import Knowledge, KnowledgeShelf
from selfedit.serve.metrics import Metrics
from selfedit.serve.model_thread import DEFAULT, Limits, ModelThread
from selfedit.store.episodes import is_agent_library
from selfedit.store.library import LibraryFolder


class Service:
    """A library with its model, for as long as it is served.

    Args:
        path: the library's folder.
        settings: how its questions are put; see `learn.settings_of`.
        load: gives the model.
        limits: how much may be under way, and how much may wait.
    """

    def __init__(self, path: Path, settings: LearnSettings, load: LoadEngine, limits: Limits = DEFAULT) -> None:
        self.path, self.settings, self.limits = path, settings, limits
        self.session = Session(path, settings, load, _Silent())
        self.is_agent = is_agent_library(path)
        self.told: dict[str, str] = {}
        """Of an agent: completions that are told about → the job that learns it."""
        self.metrics = Metrics()
        self.model = ModelThread(limits, self.metrics.batch.observe)
        self._shelf = KnowledgeShelf()
        for name, told in (
            ("waiting", "Texts that wait"),
            ("running", "Texts under way"),
            ("calls", "Considered answers that wait"),
            ("versions", "Adapters at hand"),
        ):
            self.metrics.watch(f"selfedit_{name}", told, lambda name=name: getattr(self.model, name))  # type: ignore[misc]

    @property
    def name(self) -> str:
        """What versions are called by: `notes` of `notes@live`."""
        return self.path.absolute().name

    @property
    def capacity(self) -> dict[str, int]:
        """Texts under way and waiting, and how many of each there may be."""
        model, limits = self.model, self.limits
        return {"running": model.running, "rows": limits.rows, "waiting": model.waiting, "queue": limits.waiting}

    def open(self) -> LibraryFolder:
        """A fresh handle to read with; close it in the thread that opened it."""
        return LibraryFolder(self.path)

    def start(self) -> None:
        """Loads the model.

        Raises:
            SelfeditError: it cannot be loaded, or is another one than the library is for.
        """
        self.model.start(self._load)

    def close(self) -> None:
        """Ends the model thread; what it is doing just now is finished, the rest is lost."""
        self.model.close()

    def knowledge(self, reference: str) -> Knowledge:
        """What the version knows that a reference stands for now: `live`, `7`, `notes@live`. From any thread.

        Raises:
            SelfeditError: there is none such.
        """
        with self.open() as library:
            return self._shelf.get(library, reference)

    @property
    def asker(self) -> Asker:
        """Puts questions as adapters were trained to be asked."""
        settings = self.settings
        return Asker(self.session.engines[0], self._learner, settings.inner, settings.answer_tokens)

    async def ask(self, question: str, reference: str) -> tuple[LibraryVersion, LibraryReply]:
        """The considered answer of a version, with its source.

        Raises:
            SelfeditError: there is no such version, or it could not be asked.
            Busy: too many wait.
        """
        known = await asyncio.to_thread(self.knowledge, reference)
        respondent = Respondent(self.asker, known.router, known.policies, known.version.whole)
        [reply] = await asyncio.wrap_future(self.model.call(lambda: respondent.answer([question])))
        return known.version, reply

    def _load(self) -> LiveWriter:
        engine = self.session.engine()
        with self.open() as library:
            self._learner = library.learner
        if not isinstance(engine, WritesLive):
            raise SelfeditError("this engine cannot write token by token; serve with another one")
        return engine.live(self.limits.rows, engine.bank_size)


class _Silent:
    def stage(self, name: str, total: int) -> None:
        """Nobody watches."""

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """Nobody watches."""
