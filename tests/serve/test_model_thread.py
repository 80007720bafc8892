"""The thread of the model goes on after whatever goes wrong in it, and nobody waits for it in vain."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from selfedit.records import UNTOUCHED, LiveRequest, Prompt, SamplingParams
from selfedit.serve.model_thread import Begun, Busy, Event, Limits, Lost, ModelThread, Said, Ticket
from selfedit.store.adapters import AdapterFolders
from selfedit.testing.live import FakeLiveWriter

PATIENCE = 20.0


class Writer(FakeLiveWriter):
    """Writes three words; may refuse to let go of a text."""

    def __init__(self, folder: Path) -> None:
        super().__init__(lambda prompt, seed: "one two three", AdapterFolders(folder), 8, 1)
        self.holds = False

    def leave(self, keys: Iterable[int]) -> None:
        wanted = list(keys)
        super().leave(wanted)
        if self.holds and wanted:
            self.holds = False
            raise MemoryError


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


@pytest.fixture
def thread(writer: Writer) -> Iterator[ModelThread]:
    one = ModelThread(Limits(rows=4, waiting=4))
    one.start(lambda: writer)
    yield one
    one.close()


def said(thread: ModelThread) -> list[Event]:
    """All that is told of a text, to its end."""
    told: queue.Queue[Event] = queue.Queue()
    request = LiveRequest(0, Prompt("Who?"), SamplingParams(0.0, 1.0, 20), UNTOUCHED, 0)
    thread.submit([Ticket(request, told.put)])
    found: list[Event] = []
    while not found or not (isinstance(found[-1], Lost) or (isinstance(found[-1], Said) and found[-1].ending)):
        found.append(told.get(timeout=PATIENCE))
    return found


def test_a_text_is_begun_told_and_ended(thread: ModelThread) -> None:
    begun, *pieces = said(thread)
    assert begun == Begun(1)
    assert "".join(one.text for one in pieces if isinstance(one, Said)) == "one two three"


def test_where_what_is_lost_cannot_be_let_go_of_either_the_next_text_is_written(
    thread: ModelThread, writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    writer.broken, writer.holds = MemoryError(), True
    assert said(thread)[-1] == Lost("memory")
    assert isinstance(said(thread)[-1], Said) and thread.is_alive
    assert "is let go of with the next text" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_ended_refuses_what_comes_and_lets_nobody_wait(thread: ModelThread, writer: Writer) -> None:
    class Fatal(BaseException):
        """What nothing catches."""

    def ends(keys: Iterable[int]) -> None:
        raise Fatal

    writer.leave = ends  # type: ignore[method-assign]
    assert said(thread)[-1] == Lost("closing")
    thread._thread.join(PATIENCE)
    assert not thread.is_alive
    with pytest.raises(Busy):
        thread.call(lambda: None)
    with pytest.raises(Busy):
        said(thread)


def test_a_call_that_is_given_up_before_its_turn_is_never_made(thread: ModelThread) -> None:
    asked, going = queue.Queue[str](), queue.Queue[None]()
    first = thread.call(lambda: going.get(timeout=PATIENCE))
    second = thread.call(lambda: asked.put("second"))
    assert second.cancel()
    going.put(None)
    assert first.result(PATIENCE) is None
    thread.call(lambda: asked.put("third")).result(PATIENCE)
    assert asked.get(timeout=PATIENCE) == "third" and asked.empty()
    with pytest.raises(CancelledError):
        second.result(0)
