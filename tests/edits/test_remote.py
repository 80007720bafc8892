"""Self-edits from an endpoint come as an engine's would: without the opening, a text or a reason for each draw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from selfedit.edits import EndpointWriter, ask_for_edit
from selfedit.edits.remote import ask_writer, without_prefill
from selfedit.endpoints import Endpoint, EndpointSettings
from selfedit.records import Completion, Failed, Prompt, SamplingParams
from tests.support.endpoint_server import EndpointServer, completion, refusal

SAMPLING = SamplingParams(0.8, 0.95, 256)
PROMPTS = [Prompt("About herons.\n", "Implications:\n1."), Prompt("About gulls.")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EndpointServer]:
    monkeypatch.setenv("SELFEDIT_API_KEY", "")
    monkeypatch.setenv("SELFEDIT_CACHE", str(tmp_path / "cache"))
    with EndpointServer(lambda seen: f"text {seen.body['seed']}") as server:
        yield server


def writer_of(server: EndpointServer) -> EndpointWriter:
    return EndpointWriter(Endpoint(EndpointSettings(server.url, "m", retries=0)))


def draws(n: int, seeds: tuple[int, int] = (1, 2)) -> list[tuple[Prompt, int, int]]:
    """`n` draws of each prompt."""
    return [(prompt, seed, number) for prompt, seed in zip(PROMPTS, seeds, strict=True) for number in range(n)]


def test_each_prompt_has_its_draws_each_with_a_seed_of_its_own(server: EndpointServer) -> None:
    texts = writer_of(server).write(draws(3), SAMPLING)
    assert len(texts) == 6
    bodies = {seen.body["seed"]: seen.body for seen in server.seen}
    assert len(bodies) == 6 and all(0 <= seed < 2**31 for seed in bodies)
    assert {text.text for text in texts if isinstance(text, Completion)} == {f"text {seed}" for seed in bodies}
    assert {(b["temperature"], b["top_p"], b["max_tokens"]) for b in bodies.values()} == {(0.8, 0.95, 256)}


def test_the_same_seeds_write_the_same_without_asking_again(server: EndpointServer) -> None:
    first = writer_of(server).write(draws(2), SAMPLING)
    assert writer_of(server).write(draws(2), SAMPLING) == first and len(server.seen) == 4
    assert writer_of(server).write(draws(2, (1, 3)), SAMPLING)[2:] != first[2:] and len(server.seen) == 6


def test_the_opening_is_asked_for_in_words_and_taken_off_the_reply(server: EndpointServer) -> None:
    server.answers = lambda seen: completion("Implications:\n1. Herons stand.\n2. They wait.", 9, 12)
    prompt = ask_for_edit("implications", "Herons", "Herons stand and wait.")
    assert writer_of(server).write([(prompt, 1, 0)], SAMPLING) == [
        Completion(" Herons stand.\n2. They wait.", 12, True)
    ]
    [seen] = server.seen
    assert seen.text.startswith(prompt.text.rstrip()) and seen.text.endswith(f"exactly these words:\n{prompt.prefill}")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("Implications:\n1. A", " A"),
        ("\n Implications: 1.A", "A"),
        ("Here they are. Implications:\n1. A", "Here they are. Implications:\n1. A"),
        ("Implications:\nA", "Implications:\nA"),
        ("", ""),
    ],
)
def test_an_opening_is_taken_off_where_the_reply_begins_with_it(text: str, rest: str) -> None:
    assert without_prefill("Implications:\n1.", text) == rest
    assert without_prefill("", text) == text


def test_without_an_opening_the_prompt_is_sent_as_it_is() -> None:
    assert ask_writer(PROMPTS[1], SAMPLING, 1, 0).text == "About gulls."


def test_a_schema_is_sent_along_and_then_no_opening_is_asked_for() -> None:
    request = ask_writer(Prompt("Give settings.", "{", json_schema='{"type": "object"}'), SAMPLING, 1, 0)
    assert (request.text, request.json_schema) == ("Give settings.", '{"type": "object"}')


@pytest.mark.parametrize(
    "begin", ["<think>\nI must list. Maybe five.\n</think>\n\n", "I must list.\n</think>\n\n", "[THINK]hm[/THINK]"]
)
def test_the_thoughts_of_a_writer_are_no_part_of_its_text(server: EndpointServer, begin: str) -> None:
    server.answers = lambda seen: completion(f"{begin}Implications:\n1. Herons stand.\n2. They wait.", 9, 12)
    prompt = ask_for_edit("implications", "Herons", "Herons stand and wait.")
    for _ in range(2):
        [text] = writer_of(server).write([(prompt, 1, 0)], SAMPLING)
        assert text == Completion(" Herons stand.\n2. They wait.", 12, True)


def test_thoughts_that_the_length_bound_cuts_off_are_no_text_and_are_asked_for_again(server: EndpointServer) -> None:
    server.answers = lambda seen: completion("<think>\nI must list implications. Maybe", 9, 256, "length")
    told = "the reply is nothing but thoughts, cut off by its length bound of 256 tokens (max_new_tokens)"
    assert writer_of(server).write(draws(1)[:1], SAMPLING) == [Failed(told)]
    server.answers = lambda seen: completion("", 9, 256, "length")
    told = "the reply is empty, cut off by its length bound of 256 tokens (max_new_tokens)"
    assert writer_of(server).write(draws(1)[:1], SAMPLING) == [Failed(told)]


def test_a_text_that_the_length_bound_cuts_off_is_kept_as_a_policys_is(server: EndpointServer) -> None:
    server.answers = lambda seen: completion("<think>hm</think>They stand and", 9, 256, "length")
    for _ in range(2):
        assert writer_of(server).write(draws(1)[:1], SAMPLING) == [Completion("They stand and", 256, False)]
    assert len(server.seen) == 1


def test_a_draw_that_failed_is_its_reason_and_one_cut_off_is_not_finished(server: EndpointServer) -> None:
    says = [refusal(500, "down"), completion("half a", 3, 4, "length")]
    server.answers = lambda seen: says["gulls" in seen.text]
    assert writer_of(server).write(draws(1), SAMPLING) == [
        Failed("HTTP 500: down"),
        Completion("half a", 4, False),
    ]
