"""Texts token by token: each is what it would be alone, whoever is beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.engine.engine import TorchEngine
from selfedit.records import (
    UNTOUCHED,
    Example,
    Generation,
    LivePiece,
    LiveRequest,
    Policy,
    Prompt,
    Query,
    Refused,
    SamplingParams,
    TrainingConfig,
    Trial,
    TrialSpec,
    Update,
)
from tests.support.reference import engine_of, tried, written

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("float64")]
GREEDY = SamplingParams(temperature=0.0, top_p=1.0, max_new_tokens=12)
DRAWN = SamplingParams(temperature=1.0, top_p=0.9, max_new_tokens=12)
TRAINING = TrainingConfig(rank=2, alpha=4.0, learning_rate=1e-2, epochs=2)


@pytest.fixture
def engine(tmp_path: Path, float64: None) -> TorchEngine:
    return engine_of("llama", bank_size=4, n_layers=4, home=tmp_path)


def versions(engine: TorchEngine, n: int) -> list[Policy]:
    """Adapters of one text each, of different ranks."""
    texts = ["the quick brown fox", "seven red boats", "a town on the coast", "a widow who sold candles", "noon"]
    updates = [
        Update(UNTOUCHED, f"version-{number}", (Example(text),), replace(TRAINING, rank=2 + number % 2), number)
        for number, text in enumerate(texts[:n])
    ]
    [done] = engine.update([updates])
    return [result.policies[0] for result in done.results]


def asked(key: int, base: Policy = UNTOUCHED, sampling: SamplingParams = GREEDY, **more: object) -> LiveRequest:
    return LiveRequest(key, Prompt(f"Question: what of {key % 5}? Answer:"), sampling, base, seed=key, **more)


def run_out(live, pieces: dict[int, list[LivePiece]]) -> dict[int, str]:
    """The whole texts, once all have ended."""
    for _ in range(100):
        for piece in live.step():
            pieces.setdefault(piece.key, []).append(piece)
        if pieces and all(own[-1].ending for own in pieces.values()):
            return {key: "".join(piece.text for piece in own) for key, own in pieces.items()}
    raise AssertionError("they do not end")


def alone(engine: TorchEngine, one: LiveRequest) -> str:
    [completion] = written(engine, Generation(one.base, one.prompt, one.sampling, one.seed))
    return completion.text


def test_texts_of_many_versions_are_what_each_would_write_alone_whenever_they_join(engine: TorchEngine) -> None:
    every = [UNTOUCHED, *versions(engine, 3)]
    requests = [asked(key, every[key % 4], GREEDY if key % 3 else DRAWN) for key in range(10)]
    live = engine.live(rows=6, versions=3)
    pieces: dict[int, list[LivePiece]] = {}
    waiting = list(requests)
    for _ in range(200):
        outcomes = live.join(waiting[:2])
        waiting = [one for one, outcome in zip(waiting[:2], outcomes, strict=True) if outcome is None] + waiting[2:]
        for piece in live.step():
            pieces.setdefault(piece.key, []).append(piece)
        if not waiting and all(own[-1].ending for own in pieces.values()):
            break
    said = {key: "".join(piece.text for piece in own) for key, own in pieces.items()}
    assert {key: text.strip() for key, text in said.items()} == {one.key: alone(engine, one) for one in requests}
    assert len(set(said.values())) > 4


def test_a_greedy_text_is_the_answer_of_a_trial(engine: TorchEngine) -> None:
    [first, second] = versions(engine, 2)
    prompt = Prompt("Question: what of the fox? Answer:", raw=True)
    query = Query("q", "what?", "", prompt, 12)
    trials = [Trial(str(n), TrialSpec((), (query,)), TRAINING, 0, base) for n, base in enumerate((first, second))]
    answers = [result.answers[0].text for result in tried(engine, *trials)]
    live = engine.live(4, 4)
    live.join([LiveRequest(n, prompt, GREEDY, base, is_one_line=True) for n, base in enumerate((first, second))])
    said = run_out(live, {})
    assert [said[n].strip() for n in range(2)] == answers and answers[0] != answers[1]


def test_what_else_the_engine_does_between_two_steps_changes_no_text(engine: TorchEngine) -> None:
    [first, second] = versions(engine, 2)
    requests = [asked(0, first), asked(1, second), asked(2)]
    expected = [alone(engine, one) for one in requests]
    live = engine.live(4, 4)
    live.join(requests)
    pieces = {piece.key: [piece] for piece in live.step()}
    query = Query("q", "what?", "boats", Prompt("what?", raw=True), 4)
    example = (Example("something else entirely"),)
    tried(engine, Trial("t", TrialSpec(example, (query,)), TRAINING, 0, second))
    said = run_out(live, pieces)
    assert [said[key].strip() for key in range(3)] == expected


def test_a_version_waits_while_all_slots_are_in_use_and_takes_the_one_used_longest_ago(engine: TorchEngine) -> None:
    [first, second, third] = versions(engine, 3)
    live = engine.live(8, 2)
    assert [type(one) for one in live.join([asked(0, first), asked(1, second), asked(2, third), asked(3)])] == [
        int,
        int,
        type(None),
        type(None),
    ]
    run_out(live, {})
    assert live.versions == 2
    assert isinstance(live.join([asked(2, third)])[0], int)
    assert run_out(live, {})[2].strip() == alone(engine, asked(2, third)) and live.versions == 2


def test_who_leaves_is_no_longer_written_and_the_others_go_on(engine: TorchEngine) -> None:
    [first] = versions(engine, 1)
    live = engine.live(4, 2)
    live.join([asked(0, first), asked(1), asked(2, first)])
    pieces = {piece.key: [piece] for piece in live.step()}
    live.leave([0, 99])
    del pieces[0]
    said = run_out(live, pieces)
    assert sorted(said) == [1, 2] and said[2].strip() == alone(engine, asked(2, first))
    assert live.step() == [] and live.live.rows == [] and live.live._cache.keys == []


def test_a_text_of_one_token_ends_at_once(engine: TorchEngine) -> None:
    live = engine.live(4, 2)
    live.join([asked(0, sampling=replace(GREEDY, max_new_tokens=1))])
    [piece] = live.step()
    assert (piece.tokens, piece.ending) == (1, "length") and live.step() == []


def test_what_is_too_long_or_no_schema_is_refused_and_the_rest_joins(engine: TorchEngine) -> None:
    live = engine.live(4, 2)
    long = LiveRequest(0, Prompt("red boats " * 200), GREEDY)
    endless = LiveRequest(1, Prompt("x" * 100_000), GREEDY)
    bound = asked(2, sampling=replace(GREEDY, max_new_tokens=5_000))
    clipped = replace(bound, key=3, is_clipped=True)
    schema = replace(asked(4), prompt=Prompt("a", json_schema='{"type": "nonsense"}'))
    gone = asked(5, Policy(1, "nowhere", "f" * 64))
    found = live.join([long, endless, bound, clipped, schema, gone])
    kinds = [one.kind if isinstance(one, Refused) else one for one in found]
    assert kinds[:3] == ["too_long"] * 3 and isinstance(kinds[3], int) and kinds[4:] == ["schema", "missing"]


def test_log_probabilities_are_the_models_own_and_add_up_to_that_of_the_answer(engine: TorchEngine) -> None:
    live = engine.live(4, 2)
    live.join([replace(asked(0), top_logprobs=3)])
    pieces: dict[int, list[LivePiece]] = {}
    text = run_out(live, pieces)[0]
    chances = [chance for piece in pieces[0] for chance in piece.chances]
    assert len(chances) == sum(piece.tokens for piece in pieces[0]) == 12
    assert all(chance.likeliest[0] == (chance.text, pytest.approx(chance.logprob)) for chance in chances)
    assert all(len(chance.likeliest) == 3 for chance in chances)
    query = Query("q", "", text.strip(), replace(asked(0).prompt, raw=True), 0)
    [result] = tried(engine, Trial("t", TrialSpec((), (query,)), TRAINING, 0))
    mean = sum(chance.logprob for chance in chances) / 12
    if text.startswith(" ") and not text.endswith(" "):  # else the answer is tokenised otherwise
        assert result.answers[0].gold_logprob == pytest.approx(mean, rel=0.5)


def test_a_schema_is_followed_beside_free_texts(engine: TorchEngine) -> None:
    year = {"type": "object", "properties": {"year": {"enum": [1, 2]}}, "required": ["year"]}
    schema = json.dumps({**year, "additionalProperties": False})
    live = engine.live(4, 2)
    live.join([asked(0), replace(asked(1), prompt=Prompt("Give a year.", json_schema=schema))])
    pieces: dict[int, list[LivePiece]] = {}
    said = run_out(live, pieces)
    assert said[1].replace(" ", "") in ('{"year":1}', '{"year":2}') and pieces[1][-1].ending == "stop"


def test_characters_of_several_tokens_come_whole(engine: TorchEngine) -> None:
    schema = '{"const": "né 日本 🚢"}'
    live = engine.live(4, 2)
    live.join([LiveRequest(0, Prompt("Say it.", json_schema=schema), replace(GREEDY, max_new_tokens=60))])
    pieces: dict[int, list[LivePiece]] = {}
    assert run_out(live, pieces)[0] == '"né 日本 🚢"'
    assert all("\N{REPLACEMENT CHARACTER}" not in piece.text for piece in pieces[0])
