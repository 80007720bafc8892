"""Texts that follow a JSON schema, written by random models."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from selfedit import seeds
from selfedit.engine import load_engine
from selfedit.engine.engine import TorchEngine
from selfedit.engine.generate.decoding import Decoder, Request
from selfedit.engine.generate.grammar import JsonGrammars, forbid
from selfedit.errors import SelfeditError
from selfedit.records import (
    UNTOUCHED,
    Completion,
    Generation,
    Prompt,
    Query,
    SamplingParams,
    TrainingConfig,
    Trial,
    TrialSpec,
)
from tests.support.reference import engine_of, tried, written
from tests.support.tiny import tiny_tokenizer

pytestmark = pytest.mark.model

SCHEMA = """{
  "type": "object",
  "properties": {
    "rate": {"type": "number", "minimum": 0.001, "maximum": 0.5},
    "epochs": {"type": "integer", "minimum": 1, "maximum": 20},
    "loss": {"enum": ["all tokens", "completion"]},
    "rotate": {"type": "boolean"},
    "sizes": {"type": "array", "items": {"type": "integer", "minimum": -2, "maximum": 9}, "maxItems": 4},
    "note": {"type": "string", "maxLength": 12}
  },
  "required": ["rate", "epochs", "loss", "rotate"],
  "additionalProperties": false
}"""
WARM = SamplingParams(temperature=1.0, top_p=1.0, max_new_tokens=150)
FREE = Prompt("Answer the question.", raw=True)
BOUND = Prompt("Answer the question.", raw=True, json_schema=SCHEMA)
RIVER = Prompt("Answer the question.", raw=True, json_schema='{"enum": ["a widow", "the river"]}')
REFUSED = {
    '{"type": ': "EOF while parsing",
    "[1]": "Expecting object schema",
    '{"type": "strng"}': "Invalid type: strng",
    '{"type": "integer", "minimum": 5, "maximum": 2}': "minimum .5. is greater than maximum .2.",
    '{"type": "string", "pattern": "(?=a)"}': "look-ahead",
}


class Directives(BaseModel):
    """What SCHEMA allows, said a second time."""

    model_config = ConfigDict(extra="forbid", strict=True)
    rate: float = Field(ge=0.001, le=0.5)
    epochs: int = Field(ge=1, le=20)
    loss: Literal["all tokens", "completion"]
    rotate: bool
    sizes: list[int] = Field(default=[], max_length=4)
    note: str = Field(default="", max_length=12)


def write(
    engine: TorchEngine, prompts: list[Prompt], n: int = 1, sampling: SamplingParams = WARM, seed: int = 0
) -> list[list[Completion]]:
    """`n` texts for each prompt, in one group."""
    owners = [(number, draw) for number in range(len(prompts)) for draw in range(n)]
    items = [
        Generation(UNTOUCHED, prompts[number], sampling, seeds.derive(seed + number, "draw", draw))
        for number, draw in owners
    ]
    texts = iter(written(engine, *items))
    return [[next(texts) for _ in range(n)] for _ in prompts]


def grammars(vocab_size: int = 400, stop: tuple[int, ...] = (0,)) -> JsonGrammars:
    return JsonGrammars(tiny_tokenizer(False), vocab_size, frozenset(stop))


def allowed(schema: str, text: str, table: JsonGrammars | None = None) -> set[int]:
    """Tokens that may come after `text`."""
    table = table or grammars()
    follower = table.start(schema)
    for token in table.tokenizer(text).input_ids:
        follower.advance(token)
    logits = torch.zeros(1, table.vocab_size)
    forbid(logits, {0: follower})
    return set(logits[0].isfinite().nonzero()[:, 0].tolist())


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_finished_texts_follow_the_schema_even_with_random_weights(family: str) -> None:
    [texts] = write(engine_of(family), [BOUND], n=24)
    finished = [one.text for one in texts if one.is_finished]
    assert len(finished) > 12
    found = [Directives.model_validate_json(text) for text in finished]
    assert len({(d.loss, d.rotate) for d in found}) == 4 and len({d.epochs for d in found}) > 4


def test_a_greedy_text_follows_the_schema() -> None:
    greedy = SamplingParams(temperature=0.0, max_new_tokens=20)
    [[bound], [free]] = write(engine_of("llama"), [RIVER, FREE], sampling=greedy)
    assert bound.is_finished and bound.text in ('"a widow"', '"the river"')
    assert free.text != bound.text


def test_without_a_schema_random_weights_write_nothing_that_parses() -> None:
    [texts] = write(engine_of("llama"), [FREE], n=24)
    for one in texts:
        with pytest.raises(ValidationError):
            Directives.model_validate_json(one.text)


def test_texts_with_and_without_a_schema_do_not_disturb_each_other() -> None:
    engine = engine_of("llama")
    prompts = [FREE, BOUND, RIVER, FREE]
    together = write(engine, prompts, n=3)
    alone = [write(engine, [prompt], n=3, seed=i)[0] for i, prompt in enumerate(prompts)]
    assert together == alone
    assert {one.text for one in together[2]} <= {'"a widow"', '"the river"'}


def test_the_same_seeds_give_the_same_texts_and_others_do_not() -> None:
    first, second, third = (write(engine_of("gpt2"), [BOUND], n=4, seed=seed) for seed in (1, 1, 2))
    assert first == second
    assert first != third


@pytest.mark.parametrize(("schema", "reason"), REFUSED.items())
def test_a_schema_that_cannot_be_followed_is_one_line_with_the_reason(schema: str, reason: str) -> None:
    with pytest.raises(SelfeditError, match=reason) as caught:
        write(engine_of("llama"), [FREE, Prompt("x", json_schema=schema)])
    assert "\n" not in str(caught.value) and str(caught.value).startswith("JSON schema: ")


def test_a_text_that_the_length_bound_cuts_off_is_unfinished() -> None:
    short = SamplingParams(temperature=1.0, top_p=1.0, max_new_tokens=5)
    [texts] = write(engine_of("llama"), [BOUND], n=4, sampling=short)
    assert [(one.tokens, one.is_finished) for one in texts] == [(5, False)] * 4


def test_a_number_that_could_have_gone_on_when_it_was_cut_off_is_unfinished() -> None:
    prompts = [Prompt("x", raw=True, json_schema=schema) for schema in ('{"enum": [9, 9999]}', '{"const": 9}')]
    [[open_ended], [closed]] = write(engine_of("llama"), prompts, sampling=SamplingParams(max_new_tokens=1))
    assert (open_ended.text, open_ended.is_finished) == ("9", False)
    assert (closed.text, closed.is_finished) == ("9", True)


def test_a_text_ends_where_nothing_may_follow_without_a_stop_token() -> None:
    engine, none = engine_of("llama"), frozenset()
    decoder = Decoder(engine.model, engine.holder, none, none, none, 4, 64, grammars(stop=()))
    [(tokens, is_finished)] = decoder.generate([Request((5, 6), -1, WARM, json_schema='{"const": [1, 2]}')])
    assert is_finished and engine.tokenizer.decode(tokens).replace(" ", "") == "[1,2]"


def test_an_answer_follows_the_schema_of_its_question() -> None:
    ask = Query("q", "where?", "the river", RIVER, max_new_tokens=20)
    [result] = tried(engine_of("llama"), Trial("x", TrialSpec((), (ask,)), TrainingConfig(), 0))
    assert result.answers[0].text in ('"a widow"', '"the river"')


def test_every_stop_token_may_end_a_whole_value_and_nothing_else() -> None:
    table = grammars(stop=(0, 7))
    assert {0, 7} <= allowed('{"type": "integer"}', "12", table)
    assert not {0, 7} & allowed('{"type": "integer"}', "-", table)
    assert not {0, 7} & allowed('{"type": "string"}', '"12', table)


def test_at_most_one_space_follows_a_comma_or_a_colon() -> None:
    numbers = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'
    [space, line, one] = (grammars().tokenizer(text).input_ids[0] for text in (" ", "\n", "1"))
    assert {space, one} <= allowed(numbers, '{"a":')
    assert line not in allowed(numbers, '{"a":')
    assert space not in allowed(numbers, '{"a": ')
    assert space not in allowed(numbers, "{")


def test_logits_beyond_the_tokenizers_vocabulary_are_never_drawn() -> None:
    anything = allowed('{"type": "string"}', '"', grammars(vocab_size=450))
    assert max(anything) < len(grammars().tokenizer) <= 400


def test_a_mask_leaves_other_rows_as_they_are() -> None:
    logits = torch.randn(3, 400, dtype=torch.bfloat16)
    before = logits.clone()
    forbid(logits, {1: grammars().start('{"type": "boolean"}')})
    assert torch.equal(logits[[0, 2]], before[[0, 2]])
    kept = logits[1].isfinite()
    assert torch.equal(logits[1][kept], before[1][kept]) and 0 < kept.sum() < 20


def test_a_token_that_was_not_allowed_ends_the_text_incomplete() -> None:
    table = grammars()
    follower = table.start('{"type": "boolean"}')
    follower.advance(table.tokenizer("x").input_ids[0])
    assert follower.is_over and not follower.is_complete


class Exhausted:
    """A follower whose grammar has outgrown its limits, and the grammars that start it."""

    is_over, is_complete = True, False

    def start(self, schema: str) -> Exhausted:
        return self

    def allowed(self) -> np.ndarray:
        return np.zeros(52, dtype=np.uint8)

    def advance(self, token: int) -> None:
        pass


@pytest.mark.parametrize("sampling", [WARM, SamplingParams(temperature=0.0)])
def test_a_grammar_that_gives_up_leaves_its_text_unfinished(sampling: SamplingParams) -> None:
    engine, none = engine_of("llama"), frozenset()
    decoder = Decoder(engine.model, engine.holder, frozenset(range(400)), none, none, 4, 64, Exhausted())
    assert decoder.generate([Request((5, 6), -1, sampling, json_schema="{}")]) == [([], False)]


@pytest.mark.slow
def test_the_embedded_model_writes_settings_that_follow_the_schema() -> None:
    prompt = Prompt("Choose training settings for a short passage. Reply with JSON.", json_schema=SCHEMA)
    [texts] = write(load_engine("smollm2-135m"), [prompt], n=2, sampling=SamplingParams(1.0, max_new_tokens=96))
    assert all(one.is_finished for one in texts)
    for one in texts:
        Directives.model_validate_json(one.text)
