"""L4. The one thread that owns the engine: it writes all texts that are wanted, step by step, and runs calls between.

    waiting ─(room)→ under way ─step→ step→ …→ ended
       └ refused, or not wanted any more        └ not wanted any more

Texts of all versions are in one batch; one that comes joins between two steps, and one whose client has gone leaves.
Who waits is told in its own thread's way, by a function that the ticket brings along.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any, Literal, TypeVar

from selfedit.protocols import LiveWriter
from selfedit.records import Ending, LivePiece, LiveRequest, Refused, TokenChance
from selfedit.serve.cutting import Cutter
from selfedit.shortage import is_out_of_memory

T = TypeVar("T")


class Busy(Exception):
    """More is waiting than may."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The prompt has been read."""

    prompt_tokens: int
    """Its length."""


@dataclass(frozen=True, slots=True)
class Said:
    """More of a text."""

    text: str
    """As it is told; may be empty."""
    tokens: int
    """That were drawn for it."""
    chances: tuple[TokenChance, ...] = ()
    """Theirs, where they are wanted."""
    ending: Ending = ""
    """Whether this is the end."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The text will not be finished."""

    why: Literal["memory", "fault", "closing"]
    """What has happened to the server."""


Event = Begun | Said | Refused | Lost


@dataclass(slots=True, eq=False)
class Ticket:
    """A text that somebody wants."""

    request: LiveRequest
    """Its key is given when it is submitted."""
    tell: Callable[[Event], None]
    """Called in the model's thread; must not block."""
    cutter: Cutter = field(default_factory=Cutter)
    """What of the text is told."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be under way, and how much may wait."""

    rows: int = 32
    """Texts written at once."""
    waiting: int = 256
    """Texts that wait; calls likewise."""


DEFAULT = Limits()


class ModelThread:
    """Writes texts and runs calls.

    Args:
        on_step: told how many texts each step was for.
    """

    def __init__(self, limits: Limits = DEFAULT, on_step: Callable[[int], None] = lambda texts: None) -> None:
        self.limits, self.on_step = limits, on_step
        self._writer: LiveWriter | None = None
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._waiting: deque[Ticket] = deque()
        self._running: dict[int, Ticket] = {}
        self._gone: set[int] = set()
        self._keys = count()
        self._wake = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="selfedit-model", daemon=True)

    @property
    def waiting(self) -> int:
        """Texts that wait for room."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Texts under way."""
        return len(self._running)

    @property
    def calls(self) -> int:
        """Calls that wait."""
        return len(self._calls)

    @property
    def is_alive(self) -> bool:
        """Whether texts are written; False once the thread has ended, however that came."""
        return self._thread.is_alive()

    @property
    def versions(self) -> int:
        """Versions whose adapters are at hand."""
        return self._writer.versions if self._writer else 0

    def start(self, load: Callable[[], LiveWriter | None]) -> None:
        """Begins, and loads what writes; what goes wrong with that is raised here."""
        self._thread.start()
        try:
            self._writer = self.call(load).result()
        except BaseException:
            self.close()
            raise

    def call(self, work: Callable[[], T]) -> Future[T]:
        """What `work` will have come to in the model's thread.

        Raises:
            Busy: too many calls wait, or the thread has ended.
        """
        done: Future[T] = Future()
        with self._wake:
            if self._is_closed or len(self._calls) >= self.limits.waiting:
                raise Busy
            self._calls.append((done, work))
            self._wake.notify()
        return done

    def submit(self, tickets: Sequence[Ticket]) -> list[int]:
        """All of these, or none; returns their keys, by which they are dropped.

        Raises:
            Busy: too many texts wait, or the thread has ended.
        """
        with self._wake:
            if self._is_closed or len(self._waiting) + len(tickets) > self.limits.waiting:
                raise Busy
            keys = list(islice(self._keys, len(tickets)))
            for key, ticket in zip(keys, tickets, strict=True):
                ticket.request = replace(ticket.request, key=key)
                self._waiting.append(ticket)
            self._wake.notify()
        return keys

    def drop(self, keys: Iterable[int]) -> None:
        """These texts are not wanted any more; those that have ended are passed over."""
        with self._wake:
            gone = set(keys)
            for ticket in [one for one in self._waiting if one.request.key in gone]:
                self._waiting.remove(ticket)
            self._gone |= gone & self._running.keys()
            self._wake.notify()

    def close(self) -> None:
        """Finishes the call that runs, tells all others that they are lost, and ends."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._serve()
        finally:  # whatever ends the thread: nobody waits for it in vain
            with self._wake:
                self._is_closed = True
                lost, calls = [*self._running.values(), *self._waiting], [done for done, _ in self._calls]
                for held in (self._running, self._waiting, self._calls):
                    held.clear()
            self._lose(lost, Lost("closing"))
            for done in calls:
                done.cancel()

    def _serve(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(self._has_work)
                if self._is_closed:
                    return
                call = self._calls.popleft() if self._calls else None
                gone, self._gone = self._gone, set()
                for key in gone:
                    self._running.pop(key, None)
                offered = list(islice(self._waiting, max(0, self.limits.rows - len(self._running))))
            if call:
                _answer(*call)
            if self._writer and (gone or offered or self._running):
                self._write(self._writer, gone, offered)

    def _has_work(self) -> bool:
        return bool(self._calls or self._waiting or self._running or self._gone or self._is_closed)

    def _write(self, writer: LiveWriter, gone: set[int], offered: Sequence[Ticket]) -> None:
        """One step of all texts, after some have left and some have joined."""
        try:
            writer.leave(gone)
            if offered:
                self._admit(offered, writer.join([ticket.request for ticket in offered]))
            if self._running:
                pieces = writer.step()
                self.on_step(len(self._running))
                stopped = [piece.key for piece in pieces if self._tell(piece)]
                writer.leave(stopped)
        except Exception as error:
            logging.getLogger("selfedit").exception("texts under way are lost")
            with self._wake:
                lost = list(self._running.values())
                lost += [ticket for ticket in offered if self._withdraw(ticket)]
                self._running.clear()
            self._lose(lost, Lost("memory" if is_out_of_memory(error) else "fault"))
            try:
                writer.leave([ticket.request.key for ticket in lost])
            except Exception:
                logging.getLogger("selfedit").exception("what was lost is let go of with the next text")

    def _admit(self, offered: Sequence[Ticket], outcomes: Sequence[int | Refused | None]) -> None:
        for ticket, outcome in zip(offered, outcomes, strict=True):
            if outcome is None:
                continue
            with self._wake:
                is_wanted = self._withdraw(ticket)
                if isinstance(outcome, int):
                    self._running[ticket.request.key] = ticket
                    if not is_wanted:
                        self._gone.add(ticket.request.key)
            ticket.tell(Begun(outcome) if isinstance(outcome, int) else outcome)

    def _withdraw(self, ticket: Ticket) -> bool:
        """Takes a ticket out of those that wait; False where it had been dropped."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            return True
        return False

    def _tell(self, piece: LivePiece) -> bool:
        """Tells what has come; whether the text is to leave, for a stop string has come."""
        ticket = self._running.get(piece.key)
        if ticket is None:
            return False
        text = ticket.cutter.add(piece.text, bool(piece.ending))
        ending: Ending = "stop" if ticket.cutter.is_stopped else piece.ending
        ticket.tell(Said(text, piece.tokens, piece.chances, ending))
        if ending:
            with self._wake:
                del self._running[piece.key]
                self._gone.discard(piece.key)
        return bool(ending and not piece.ending)

    @staticmethod
    def _lose(tickets: Iterable[Ticket], lost: Lost) -> None:
        for ticket in tickets:
            ticket.tell(lost)


def _answer(done: Future[Any], work: Callable[[], Any]) -> None:
    if done.set_running_or_notify_cancel():
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 (it goes to who asked)
            done.set_exception(error)
