"""L1. The episodes of an agent, in an SQLite file beside its library: what may still be told about, and what was.

Feedback is taken once for each episode. An episode whose lesson is forgotten is deleted with it, from the disk as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter

from selfedit.errors import SelfeditError
from selfedit.records import Episode, Feedback, Observation, to_json
from selfedit.store.database import Database

FILE = "episodes.db"
AGENT = "agent.json"
"""In the folder of an agent's library: how that learns."""
SCHEMA = 1
_EPISODE, _OBSERVATION = TypeAdapter(Episode), TypeAdapter(Observation)
_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS episodes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, body TEXT NOT NULL, feedback TEXT, came_of TEXT
);
PRAGMA user_version = {SCHEMA};
COMMIT;
"""


class EpisodeLog(Database):
    """The episodes in the folder of a library; the file is made when absent.

    Raises SelfeditError, in one line that names the file, where it cannot be read.
    """

    kind = "a log of episodes"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE)

    def add(self, episode: Episode) -> Episode:
        """Stores an episode under the next number; where it has no id, it is given one."""
        named = episode if episode.id else replace(episode, id=f"episode-{uuid4().hex[:16]}")
        with self._transaction() as connection:
            told = "INSERT INTO episodes (id, body) VALUES (?, ?)"
            number = connection.execute(told, (named.id, _encode(replace(named, number=0)))).lastrowid
        assert number is not None
        return replace(named, number=number)

    def open(self, episode_id: str = "") -> Episode:
        """The episode that feedback may be given on; the last one where none is named.

        Raises:
            SelfeditError: there is none such, or feedback on it was given already.
        """
        where, values = ("id = ?", (episode_id,)) if episode_id else ("1", ())
        with self._readable():
            told = f"SELECT * FROM episodes WHERE {where} ORDER BY number DESC LIMIT 1"
            row = self._connection.execute(told, values).fetchone()
        if row is None:
            raise SelfeditError(f"{episode_id or 'feedback'}: there is no such episode" if episode_id else
                                "there is no episode yet that feedback could be about")  # fmt: skip
        if row["feedback"] is not None:
            raise SelfeditError(f"{row['id']}: feedback on this episode was given already")
        episode: Episode = self._read(_EPISODE, row["body"])
        return replace(episode, number=row["number"])

    def find(self, episode_id: str) -> Episode | None:
        """The episode of this id; None where there is none."""
        row = self._row(episode_id)
        if row is None:
            return None
        episode: Episode = self._read(_EPISODE, row["body"])
        return replace(episode, number=row["number"])

    def is_told(self, episode_id: str) -> bool:
        """Whether feedback on it was given."""
        row = self._row(episode_id)
        return row is not None and row["feedback"] is not None

    def _row(self, episode_id: str) -> Any:
        with self._readable():
            return self._connection.execute("SELECT * FROM episodes WHERE id = ?", (episode_id,)).fetchone()

    def close_with(self, episode: Episode, feedback: Feedback, observation: Observation) -> None:
        """Notes what was said about an episode and what came of it; nothing can be said about it any more.

        Raises:
            SelfeditError: something was said about it meanwhile.
        """
        values = _encode(feedback), _encode(observation), episode.id
        with self._transaction() as connection:
            told = "UPDATE episodes SET feedback = ?, came_of = ? WHERE id = ? AND feedback IS NULL"
            if not connection.execute(told, values).rowcount:
                raise SelfeditError(f"{episode.id}: feedback on this episode was given already")

    def observations(self, last: int) -> list[tuple[Episode, Observation]]:
        """What came of feedback, oldest first, the last ones alone."""
        with self._readable():
            told = "SELECT * FROM episodes WHERE came_of IS NOT NULL ORDER BY number DESC LIMIT ?"
            rows = self._connection.execute(told, (last,)).fetchall()
        episodes = [replace(self._read(_EPISODE, row["body"]), number=row["number"]) for row in reversed(rows)]
        came_of = [self._read(_OBSERVATION, row["came_of"]) for row in reversed(rows)]
        return list(zip(episodes, came_of, strict=True))

    def delete(self, episode_ids: Iterable[str]) -> None:
        """Takes episodes away, from the disk as well."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM episodes WHERE id = ?", [(one,) for one in episode_ids])
        with self._readable():
            self._connection.execute("VACUUM")

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA secure_delete = ON")
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, SCHEMA):
            raise SelfeditError(f"{self.path}: has schema {found}, and this version reads schema {SCHEMA}")
        self._connection.executescript(_TABLES)


def is_agent_library(path: Path) -> bool:
    """Whether the library in this folder is an agent's, which learns from what it is told."""
    return (path / AGENT).is_file()


def _encode(record: Episode | Feedback | Observation) -> str:
    return json.dumps(to_json(record), ensure_ascii=False)
