"""A library of a tiny random model behind a URL: served answers are the engine's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from selfedit.engine import load_engine
from selfedit.learn import LearnSettings, Session
from selfedit.learn import session as sessions
from selfedit.protocols import Engine
from selfedit.records import Question
from selfedit.serve import Service
from selfedit.store.adapters import AdapterFolders
from selfedit.store.library import LibraryFolder
from selfedit.testing.tasks import SilentProgress
from tests.learn.test_exact_forgetting import INNER, PROBE
from tests.learn.test_session import TEXTS
from tests.serve.conftest import listening
from tests.support.tiny import save_tiny

pytestmark = pytest.mark.model
TOKENS = 6


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Two documents in several chunks, all of them kept."""
    folder = tmp_path_factory.mktemp("real")
    model = save_tiny(folder / "model", "llama", chat=True)
    (folder / "docs").mkdir()
    for name, text in TEXTS.items():
        (folder / "docs" / name).write_text(text)

    def load(adapters: AdapterFolders) -> Engine:
        return load_engine(str(model), "cpu", "float32", 4, adapters)

    settings = LearnSettings(
        model=str(model),
        learner="untouched",
        edits=0,
        chunk_tokens=64,
        answer_tokens=TOKENS,
        inner=INNER.__class__(rank=2, alpha=4.0, learning_rate=3e-2, epochs=6),
        most_drift=100,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "load_probe", lambda source: PROBE)
        session = Session(folder / "notes", settings, load, SilentProgress())
        session.learn([str(folder / "docs")])
        yield session


@pytest.fixture
def url(library: Session) -> Iterator[str]:
    service = Service(library.path, library.settings, library.load)
    with listening(service) as (url, _):
        yield url


def questions(session: Session) -> list[str]:
    """One about each chunk that is known, in its own words."""
    with LibraryFolder(session.path) as library:
        lessons = library.lessons()
        return [" ".join(lessons[one].context.text.split()[:9]) for one, _ in library.resolve().adapters]


async def asked(url: str, wanted: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Replies to (model, question), all at once."""
    async with httpx.AsyncClient(timeout=60) as client:

        async def ask(model: str, question: str) -> dict[str, Any]:
            body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": TOKENS}
            reply = await client.post(f"{url}/v1/chat/completions", json={**body, "temperature": 0})
            assert reply.status_code == 200, reply.text
            return dict(reply.json())

        return list(await asyncio.gather(*(ask(*one) for one in wanted)))


def test_served_answers_of_many_adapters_at_once_are_those_of_the_engines_trials(library: Session, url: str) -> None:
    every = questions(library)
    assert len(every) > 2
    replies = asyncio.run(asked(url, [("notes@live", question) for question in every]))
    with LibraryFolder(library.path) as folder:
        version = folder.resolve()
        respondent = library.respondent(folder, version)
    matched = [respondent.router.match(question)[0].context for question in every]
    queries = [respondent.asker.queries(c, [Question("q", q, "")]) for c, q in zip(matched, every, strict=True)]
    pairs = [(respondent.policies[c.id], own) for c, own in zip(matched, queries, strict=True)]
    expected = [answers[0].text for answers in respondent.asker.ask(pairs)]
    assert [reply["choices"][0]["message"]["content"] for reply in replies] == expected
    assert len({one.digest for one, _ in pairs}) > 2 and len(set(expected)) > 1
    assert [reply["selfedit"]["source"] for reply in replies] == [context.source for context in matched]


def test_what_is_said_in_a_crowd_is_what_is_said_alone(library: Session, url: str) -> None:
    models = ("notes@live", str(library.settings.model))
    wanted = [(models[i % 2], question) for i, question in enumerate(questions(library) * 4)]
    together = asyncio.run(asked(url, wanted))
    alone = [asyncio.run(asked(url, [one]))[0] for one in wanted[:4]]
    for one, other in zip(together, alone, strict=False):
        assert one["choices"] == other["choices"] and one["usage"] == other["usage"]


@pytest.mark.parametrize("depth", [3, 100, 900])
def test_a_schema_is_followed_or_refused_however_deep_it_is(library: Session, url: str, depth: int) -> None:
    schema: dict[str, Any] = {"type": "boolean"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema, "maxItems": 1, "minItems": 1}
    body = {
        "model": str(library.settings.model),
        "messages": [{"role": "user", "content": "Say it."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "deep", "schema": schema}},
        "max_tokens": 12,
    }
    reply = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    assert reply.status_code in (200, 400)
    if depth == 3:
        assert reply.json()["choices"][0]["message"]["content"] in ("[[[true]]]", "[[[false]]]")


@pytest.mark.parametrize("text", ["", " ", "\x00", "<|end|>", "\ufffd" * 30, "🚢" * 20])
def test_any_text_is_answered_or_refused_and_never_a_fault(library: Session, url: str, text: str) -> None:
    body = {"model": str(library.settings.model), "prompt": text, "max_tokens": 3, "logprobs": 2}
    reply = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
    assert reply.status_code == (400 if not text else 200), reply.text
