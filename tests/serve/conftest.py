"""A small library, served by a real server in a thread, on an engine without a model."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from selfedit.learn import session as sessions
from selfedit.records import Trial, TrialResult
from selfedit.serve import Service, create_app
from selfedit.serve.jobs import Jobs
from selfedit.serve.model_thread import DEFAULT, Limits
from selfedit.serve.server import LibraryServer
from selfedit.store.adapters import AdapterFolders
from selfedit.testing.engines import FakeEngine
from tests.learn.test_session import Workshop

_HERE = Path(__file__).parent
COLD = (sys.executable, str(_HERE / "fake_worker.py"))
"""A job's child on an engine without a model, begun as in life."""


@cache
def warm_worker() -> tuple[str, ...]:
    """The same child, forked by a process that has imported all it needs."""
    folder = tempfile.mkdtemp()
    path = f"{folder}/socket"
    warm = subprocess.Popen([sys.executable, str(_HERE / "warm_worker.py"), path], stdin=subprocess.PIPE)

    def end() -> None:
        assert warm.stdin is not None
        warm.stdin.close()
        warm.wait()
        shutil.rmtree(folder)

    atexit.register(end)
    while not os.path.exists(path):
        assert warm.poll() is None, "the warm process has ended"
        time.sleep(0.02)
    return sys.executable, "-I", "-S", str(_HERE / "warm_client.py"), path


class WarmJobs(Jobs):
    """Jobs whose children are forked; what forks them begins with the first."""

    def _run(self, job_id: str, request: Mapping[str, Any]) -> None:
        self._command = warm_worker()
        super()._run(job_id, request)


class Learned(FakeEngine):
    """Answers what is asked with `yes`, and questions with a gold answer by that."""

    def _result(self, trial: Trial, trace: float) -> TrialResult:
        queries = tuple(replace(query, gold=query.gold or "yes") for query in trial.spec.queries)
        return super()._result(replace(trial, spec=replace(trial.spec, queries=queries)), trace)


class Served:
    """A library behind a URL."""

    def __init__(self, service: Service, url: str, shop: Workshop, loop: asyncio.AbstractEventLoop, jobs: Jobs) -> None:
        self.service, self.url, self.shop, self.loop, self.jobs = service, url, shop, loop, jobs

    @property
    def engine(self) -> Learned:
        """What answers."""
        [engine] = self.service.session.engines
        assert isinstance(engine, Learned)
        return engine

    def held(self) -> tuple[int, int, int]:
        """(tasks of the server, open files of the process, texts under way or waiting)."""
        texts = self.service.model.running + self.service.model.waiting + len(self.engine.writers_made[0].lines)
        return len(asyncio.all_tasks(self.loop)), len(os.listdir("/proc/self/fd")), texts


def make_engine(adapters: AdapterFolders) -> Learned:
    """Adapters answer right, the learner does not."""
    engine = Learned(home=adapters.home)
    engine.gain = lambda trial: 2.0
    engine.lift = lambda version: 2.0 * ("learner" not in version.adapter)
    return engine


@contextmanager
def listening(
    service: Service, token: str = "", jobs: Jobs | None = None, port: int = 0
) -> Iterator[tuple[str, asyncio.AbstractEventLoop]]:
    """Serves on a port of the loopback interface (0: any that is free), in a thread; (URL, the server's loop)."""
    service.start()
    place = socket.create_server(("127.0.0.1", port), backlog=256)
    app = create_app(service, token, jobs=jobs)
    server = LibraryServer(uvicorn.Config(app, log_level="warning", access_log=False), app.state.jobs)
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve([place])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{place.getsockname()[1]}", loops[0]
    finally:
        server.should_exit = True
        thread.join()
        place.close()
        service.close()


@contextmanager
def serving(
    shop: Workshop,
    token: str = "",
    load: Callable[[AdapterFolders], FakeEngine] = make_engine,
    limits: Limits = DEFAULT,
    worker: Sequence[str] | None = None,
    port: int = 0,
) -> Iterator[Served]:
    """Serves a workshop's library."""
    service = Service(shop.path, shop.session().settings, load, limits)
    jobs = Jobs(worker, most_waiting=3) if worker else WarmJobs(most_waiting=3)
    with listening(service, token, jobs, port) as (url, loop):
        yield Served(service, url, shop, loop, jobs)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Documents of two files, learnt into the library `notes`."""
    monkeypatch.setattr(sessions, "token_counter", lambda model: lambda text: len(text.split()))
    shop = Workshop(tmp_path)
    shop.learn()
    return shop


@pytest.fixture
def served(shop: Workshop) -> Iterator[Served]:
    """That library behind a URL, without a token."""
    with serving(shop) as one:
        yield one


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One such server for all tests of a module that only read, and that count nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "token_counter", lambda model: lambda text: len(text.split()))
        shop = Workshop(tmp_path_factory.mktemp("shared"))
        shop.learn()
    with serving(shop) as one:
        yield one
