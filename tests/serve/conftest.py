"""A small library, served by a real server in a thread, on an engine without a model."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from selfedit.learn import session as sessions
from selfedit.records import Trial, TrialResult
from selfedit.serve import Service, create_app
from selfedit.serve.jobs import Jobs
from selfedit.serve.server import LibraryServer
from selfedit.store.adapters import AdapterFolders
from selfedit.testing.engines import FakeEngine
from tests.learn.test_session import Workshop

WORKER = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
"""A job's child on an engine without a model."""


class Served:
    """A library behind a URL."""

    def __init__(self, service: Service, url: str, shop: Workshop, jobs: Jobs) -> None:
        self.service, self.url, self.shop, self.jobs = service, url, shop, jobs


class Learned(FakeEngine):
    """Answers what is asked with `yes`, and questions with a gold answer by that."""

    def _result(self, trial: Trial, trace: float) -> TrialResult:
        queries = tuple(replace(query, gold=query.gold or "yes") for query in trial.spec.queries)
        return super()._result(replace(trial, spec=replace(trial.spec, queries=queries)), trace)


def make_engine(adapters: AdapterFolders) -> Learned:
    """Adapters answer right, the learner does not."""
    engine = Learned(home=adapters.home)
    engine.gain = lambda trial: 2.0
    engine.lift = lambda version: 2.0 * ("learner" not in version.adapter)
    return engine


@contextmanager
def serving(
    shop: Workshop,
    token: str = "",
    load: Callable[[AdapterFolders], FakeEngine] = make_engine,
    worker: Sequence[str] = WORKER,
    port: int = 0,
) -> Iterator[Served]:
    """Serves a workshop's library on a free port of the loopback interface."""
    service = Service(shop.path, shop.session().settings, load)
    service.start()
    listening = socket.create_server(("127.0.0.1", port))
    jobs = Jobs(worker, most_waiting=3)
    config = uvicorn.Config(create_app(service, token, jobs=jobs), log_level="warning")
    server = LibraryServer(config, jobs)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield Served(service, f"http://127.0.0.1:{listening.getsockname()[1]}", shop, jobs)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
        service.close()


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
