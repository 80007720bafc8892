"""L4. The one thread that owns the engine: others hand it calls, and get what they come to."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class ModelThread:
    """Runs calls one after another."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._wake = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="selfedit-model", daemon=True)

    def start(self, load: Callable[[], Any]) -> None:
        """Begins, and loads the engine; what goes wrong with that is raised here."""
        self._thread.start()
        try:
            self.call(load).result()
        except BaseException:
            self.close()
            raise

    def call(self, work: Callable[[], T]) -> Future[T]:
        """What `work` will have come to in the model's thread."""
        done: Future[T] = Future()
        with self._wake:
            if self._is_closed:
                raise RuntimeError("the model thread has ended")
            self._calls.append((done, work))
            self._wake.notify()
        return done

    def close(self) -> None:
        """Finishes what was handed over, and ends."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._calls or self._is_closed)
                if not self._calls:
                    return
                done, work = self._calls.popleft()
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(work())
                except BaseException as error:  # noqa: BLE001 (it goes to who asked)
                    done.set_exception(error)
