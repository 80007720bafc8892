"""An agent behind a URL: any client of OpenAI's makes episodes, and what is said of them is learnt while it serves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from selfedit.learn.agent import AgentSession, AgentSettings
from selfedit.serve import Service
from selfedit.serve.jobs import Jobs
from selfedit.store.adapters import AdapterFolders
from selfedit.testing import RoteEngine, SilentProgress
from tests.serve.conftest import Served, listening
from tests.serve.test_library_routes import refused

ASKED = "A parcel for Vashti Orrel has come."
RULE = "Everything for Vashti Orrel goes to dock K7."
WORKER = (sys.executable, str(Path(__file__).with_name("rote_worker.py")))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A new agent called `porter`."""
    settings = AgentSettings(edits=0)

    def load(adapters: AdapterFolders) -> RoteEngine:
        return RoteEngine(adapters.home)

    AgentSession(tmp_path / "porter", settings, load, SilentProgress()).begin()
    service = Service(tmp_path / "porter", settings.library_settings(), load)
    with listening(service, jobs=Jobs(WORKER, most_waiting=3)) as (url, _):
        yield url


def ask(url: str, request: str, **more: Any) -> Any:
    body = {"model": "porter@live", "messages": [{"role": "user", "content": request}], **more}
    response = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def said(reply: Any) -> str:
    text: str = reply["choices"][0]["message"]["content"]
    return text.strip()


def tell(url: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/feedback", json=body, timeout=60)


def test_what_is_said_of_a_completion_is_learnt_while_the_server_goes_on(url: str) -> None:
    reply = ask(url, ASKED)
    assert said(reply) == "no idea" and "selfedit" not in reply
    told = tell(url, id=reply["id"], action="dock K7", said=RULE)
    assert told.status_code == 200, told.text
    assert told.json()["line"] == f"learnt: {RULE!r}" and told.json()["version"] == 1
    after = ask(url, ASKED)
    assert said(after) == "dock K7" and after["selfedit"]["version"] == "porter@1"
    assert refused(tell(url, id=reply["id"], score=1.0), 409) == f"{reply['id']}: feedback on it was given already"
    again = f"feedback on {after['id']} contradicts itself: it corrects what was done to the very same"
    assert refused(tell(url, id=after["id"], action="dock K7"), 400).startswith(again)
    assert tell(url, id=after["id"], score=1.0).json()["line"] == "nothing: what was done was right"
    job = httpx.post(f"{url}/v1/rest").json()["job"]
    states = set()
    while not states & {"done", "failed"}:
        states.add(httpx.get(f"{url}/v1/jobs/{job}").json()["status"])
    assert "done" in states and said(ask(url, ASKED)) == "dock K7"


def test_an_unknown_completion_and_a_wrong_body_are_refused_in_one_line(url: str) -> None:
    assert refused(tell(url, id="chatcmpl-x", score=1.0), 404) == (
        "chatcmpl-x: no completion of this id can be told about"
    )
    reply = ask(url, ASKED)
    unnamed = refused(tell(url, id=reply["id"], action="dock K7", replaces="lesson-9"), 400)
    assert unnamed == "lesson-9: no lesson that holds is called so"
    assert refused(tell(url, id="x", score=7), 400).startswith("score: ")
    assert refused(tell(url, id="x", author="self"), 400).startswith("author: ")
    assert refused(httpx.post(f"{url}/v1/learn", json={}), 409).startswith("this library is an agent's")


def test_the_example_of_an_agent_runs_against_a_server(url: str) -> None:
    example = Path(__file__).parents[2] / "examples" / "agent.py"
    done = subprocess.run([sys.executable, str(example), f"{url}/v1"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n  learnt: ") == 2, done.stdout


def test_a_library_of_documents_takes_no_feedback(served: Served) -> None:
    told = tell(served.url, id="chatcmpl-x", score=1.0)
    assert refused(told, 409) == (
        "this library learns from documents; serve an agent's (selfedit serve --agent) for feedback"
    )
