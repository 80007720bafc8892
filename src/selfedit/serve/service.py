"""L4. A library that is being served: its folder, the model thread, and questions put to a version.

One thread owns the engine; nothing else touches torch. Everybody else hands it work and waits.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from selfedit.learn import LearnSettings, LibraryReply, Session
from selfedit.learn.session import LoadEngine
from selfedit.records import LibraryVersion
from selfedit.serve.model_thread import ModelThread
from selfedit.store.library import LibraryFolder


class Service:
    """A library with its model, for as long as it is served.

    Args:
        path: the library's folder.
        settings: how its questions are put; see `learn.settings_of`.
        load: gives the model.
    """

    def __init__(self, path: Path, settings: LearnSettings, load: LoadEngine) -> None:
        self.path, self.settings, self._load = path, settings, load
        self.model = ModelThread()

    @property
    def name(self) -> str:
        """What versions are called by: `notes` of `notes@live`."""
        return self.path.absolute().name

    def open(self) -> LibraryFolder:
        """A fresh handle to read with; close it in the thread that opened it."""
        return LibraryFolder(self.path)

    def start(self) -> None:
        """Loads the model.

        Raises:
            SelfeditError: it cannot be loaded, or is another one than the library is for.
        """
        self._session = Session(self.path, self.settings, self._load, _Silent())
        self.model.start(self._session.engine)

    def close(self) -> None:
        """Ends the model thread; what it is doing is finished first."""
        self.model.close()

    async def ask(self, question: str, reference: str) -> tuple[LibraryVersion, LibraryReply]:
        """The considered answer of a version, with its source.

        Raises:
            SelfeditError: there is no such version, or it could not be asked.
        """
        return await asyncio.wrap_future(self.model.call(lambda: self._answer(question, reference)))

    def _answer(self, question: str, reference: str) -> tuple[LibraryVersion, LibraryReply]:
        with self.open() as library:
            version = library.resolve(reference)
            [reply] = self._session.respondent(library, version).answer([question])
        return version, reply


class _Silent:
    def stage(self, name: str, total: int) -> None:
        """Nobody watches."""

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """Nobody watches."""
