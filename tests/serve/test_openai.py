"""The official client of OpenAI's API against a library behind a URL, on an engine without a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest

from selfedit.store.library import LibraryFolder
from tests.serve.conftest import Served

BRIDGE = "Who built the bridge of Orlemont?"
NEWS = "# The bridge of Orlemont\n\nThe bridge of Orlemont was built by Ada Wren in 1913.\n"
NOTHING = "Xylophones?"
BASE = "smollm2-135m"


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def chat(client: openai.OpenAI, question: str = BRIDGE, model: str = "notes@live", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}], **more)


def refused(served: Served, path: str = "chat/completions", **changes: Any) -> tuple[int, dict[str, Any]]:
    """Status and error of a request that is well but for these."""
    asked: dict[str, Any] = {"model": "notes@live"}
    asked |= {"prompt": "a"} if path == "completions" else {"messages": [{"role": "user", "content": "a"}]}
    reply = httpx.post(f"{served.url}/v1/{path}", json=asked | changes)
    return reply.status_code, reply.json()["error"]


def test_models_are_the_base_every_alias_and_every_version_with_parents(client: openai.OpenAI, served: Served) -> None:
    served.shop.write("bridge.md", NEWS)
    served.shop.learn()
    models = {model.id: model.model_dump() for model in client.models.list()}
    assert list(models) == [BASE, "notes@live", "notes@1", "notes@2"]
    assert {model["root"] for model in models.values()} == {BASE}
    assert [model["parent"] for model in models.values()] == [None, "notes@2", BASE, "notes@1"]
    assert models["notes@2"]["created"] > 1_600_000_000 and models[BASE]["owned_by"] == "selfedit"
    assert client.models.retrieve("notes@1").id == "notes@1"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("notes@9")


def test_a_question_about_a_document_is_answered_with_its_source_and_version(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="notes@live", messages=[{"role": "user", "content": BRIDGE}]
    )
    reply = raw.parse()
    assert raw.headers["x-selfedit-version"] == "notes@1"
    told = reply.model_extra["selfedit"]
    assert told["known"] and told["source"].startswith("bridge.md:") and told["version"] == "notes@1"
    assert told["confidence"] == pytest.approx(0.6065, abs=1e-3)  # each word of the fake has -0.5
    [choice] = reply.choices
    assert choice.message.content and choice.finish_reason == "stop"
    usage = reply.usage
    assert usage.completion_tokens == len(choice.message.content.split())
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_question_about_nothing_learnt_is_the_untouched_models(client: openai.OpenAI, served: Served) -> None:
    reply = chat(client, NOTHING, temperature=0)
    assert reply.model_extra["selfedit"] == {
        "known": False,
        "source": None,
        "version": "notes@1",
        "confidence": 0.6065306597126334,
    }
    assert reply.choices[0].message.content == chat(client, NOTHING, BASE, temperature=0).choices[0].message.content
    assert chat(client, NOTHING, BASE).model_extra == {}


def test_a_single_question_is_put_as_adapters_were_trained_and_a_conversation_as_a_chat(
    served: Served, client: openai.OpenAI
) -> None:
    put: list[Any] = []
    engine = served.service.session.engines[0]
    engine.write_text = lambda prompt, seed: (put.append(prompt), "Vera Holt")[1]  # type: ignore[attr-defined]
    chat(client)
    turns = [("user", "Hello"), ("assistant", "Hi."), ("user", "Again:"), ("user", BRIDGE)]
    messages: Any = [{"role": "system", "content": "Be kind."}, *({"role": r, "content": c} for r, c in turns)]
    client.chat.completions.create(model="notes@live", messages=messages)
    assert "The bridge of Orlemont" in put[0].text and put[0].text != BRIDGE
    assert (put[1].system, put[1].history) == ("Be kind.", (("Hello", "Hi."),))
    assert put[1].text == f"Again:\n\n{BRIDGE}"


def test_a_stream_says_what_the_whole_reply_says(client: openai.OpenAI) -> None:
    whole = chat(client, n=2, seed=7, temperature=1)
    chunks = list(chat(client, n=2, seed=7, temperature=1, stream=True, stream_options={"include_usage": True}))
    said = ["", ""]
    endings: dict[int, str] = {}
    for chunk in chunks[:-1]:
        [choice] = chunk.choices
        said[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            endings[choice.index] = choice.finish_reason
            assert chunk.model_extra["selfedit"]["known"] and chunk.model_extra["selfedit"]["confidence"]
    assert said == [choice.message.content for choice in whole.choices] and said[0] != said[1]
    assert endings == {0: "stop", 1: "stop"}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage


def test_the_same_seed_gives_the_same_text_and_another_another(client: openai.OpenAI) -> None:
    texts = [chat(client, seed=seed, temperature=1).choices[0].message.content for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    unseeded = {chat(client, temperature=1).choices[0].message.content for _ in range(4)}
    assert len(unseeded) == 4


def test_stop_strings_and_length_bounds_end_a_text(client: openai.OpenAI, served: Served) -> None:
    engine = served.service.session.engines[0]
    engine.write_text = lambda prompt, seed: "one two three four"  # type: ignore[attr-defined]
    stopped = chat(client, stop=["three", "ee f"]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == ("one two", "stop")
    cut = chat(client, max_tokens=2).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("one two", "length")
    assert chat(client, max_completion_tokens=1).choices[0].message.content == "one"
    streamed = "".join(c.choices[0].delta.content or "" for c in chat(client, stop="o th", stream=True))
    assert streamed == "one tw"
    assert served.service.model.running == 0


def test_log_probabilities_come_in_each_apis_own_shape(client: openai.OpenAI) -> None:
    content = chat(client, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert [len(token.top_logprobs) for token in content] == [2] * len(content)
    assert bytes(content[0].bytes).decode() == content[0].token and content[0].logprob == -0.5
    raw = client.completions.create(model="notes@live", prompt=BRIDGE, logprobs=3).choices[0]
    assert "".join(raw.logprobs.tokens) == raw.text and len(raw.logprobs.top_logprobs[0]) == 3
    assert raw.logprobs.text_offset[1] == len(raw.logprobs.tokens[0])
    stream = client.completions.create(model="notes@live", prompt=BRIDGE, logprobs=3, stream=True)
    told = [one.choices[0].logprobs for one in stream if one.choices]
    assert [at for one in told for at in one.text_offset] == raw.logprobs.text_offset
    assert chat(client).choices[0].logprobs is None


def test_completions_go_on_from_each_prompt_n_times(client: openai.OpenAI) -> None:
    reply = client.completions.create(model=BASE, prompt=["a", "b c"], n=2, seed=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in reply.choices}) == 4
    assert reply.usage is not None and reply.usage.prompt_tokens == 3
    streamed = ["", ""]
    for chunk in client.completions.create(model=BASE, prompt="b", n=2, seed=3, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == [c.text for c in client.completions.create(model=BASE, prompt="b", n=2, seed=3).choices]


def test_a_reply_follows_its_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    assert set(json.loads(chat(client, response_format=form).choices[0].message.content)) == {"name"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("logit_bias", {"5": 1}),
        ("audio", {"voice": "a"}),
        ("frequency_penalty", 0.5),
        ("top_k", 5),
        ("n", 100),
        ("n", 0),
        ("n", True),
        ("max_tokens", 10**30),
        ("max_tokens", "12"),
        ("temperature", 5),
        ("top_p", 0),
        ("stop", ["a"] * 5),
        ("stop", ""),
        ("top_logprobs", 5),
        ("stream_options", {"include_usage": True}),
        ("messages", []),
        ("messages", [{"role": "tool", "content": "a"}]),
        ("messages", [{"role": "assistant", "content": "a"}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
        ("response_format", {"type": "json_schema"}),
        ("model", None),
        ("model", 7),
    ],
)
def test_what_is_wrong_or_not_supported_is_refused_by_name(shared: Served, field: str, value: Any) -> None:
    status, error = refused(shared, **{field: value})
    assert status == 400 and error["type"] == "invalid_request_error"
    assert error["param"] == field and field in error["message"]


def test_fields_that_change_nothing_are_passed_over_and_named_in_a_header(shared: Served) -> None:
    asked = {"model": "notes@live", "messages": [{"role": "user", "content": BRIDGE}]}
    harmless = {"user": "me", "metadata": {"a": "b"}}
    neutral = {"tools": [], "frequency_penalty": 0, "logit_bias": {}, "n": None, "stop": None, "logprobs": False}
    reply = httpx.post(f"{shared.url}/v1/chat/completions", json=asked | neutral | harmless)
    assert reply.status_code == 200 and reply.headers["x-selfedit-ignored"] == "metadata, user"
    assert "x-selfedit-ignored" not in httpx.post(f"{shared.url}/v1/chat/completions", json=asked).headers


@pytest.mark.parametrize(
    "model", ["nothing", "notes", "notes@9", "other@live", "notes@" + "9" * 900, "@", "notes@\x00"]
)
def test_a_model_that_is_not_there_is_a_404(shared: Served, model: str) -> None:
    status, error = refused(shared, model=model)
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")


def test_a_prompt_longer_than_the_context_is_a_400(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, "word " * 600)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        chat(client, "a " * 200, max_tokens=400, stream=True)
    assert chat(client, "a " * 200).choices[0].finish_reason == "stop"  # without a bound, what is left is taken


def test_a_promoted_version_is_asked_from_the_next_request_on_and_running_ones_keep_theirs(
    served: Served, client: openai.OpenAI
) -> None:
    engine = served.service.session.engines[0]
    engine.write_text = lambda prompt, seed: f"{seed} " * 30  # type: ignore[attr-defined]
    served.shop.write("bridge.md", NEWS)
    expected = chat(client).choices[0].message.content
    engine.writers_made[0].seconds = 0.02  # type: ignore[attr-defined]
    stream = chat(client, stream=True)
    chunks = [next(stream)]
    served.shop.learn()  # version 2 is live now
    after = chat(client, max_tokens=2)
    assert after.model_extra["selfedit"]["version"] == "notes@2"
    said = "".join(chunk.choices[0].delta.content or "" for chunk in [*chunks, *stream])
    assert said == expected and after.choices[0].message.content.split()[0] != said.split()[0]
    with LibraryFolder(served.shop.path) as library:
        library.point("live", library.resolve("1"))
    assert chat(client, max_tokens=2).model_extra["selfedit"]["version"] == "notes@1"


def test_a_forgotten_version_is_a_404_and_nothing_of_it_is_kept(served: Served, client: openai.OpenAI) -> None:
    assert chat(client, model="notes@1").model_extra["selfedit"]["source"].startswith("bridge.md")
    served.shop.session().forget(["bridge.md"])
    with pytest.raises(openai.NotFoundError):
        chat(client, model="notes@1")
    assert not chat(client, NOTHING).model_extra["selfedit"]["known"]
    kept = [one for known in served.service._shelf._held.values() for one in known.router.contexts]
    assert kept and not any("Orlemont" in context.text for context in kept)
