"""The decoder against transformers' own generate."""

from __future__ import annotations

import pytest
import torch

from selfedit.engine.generate import decoding
from selfedit.engine.generate.decoding import Decoder, Request, common_prefixes, draw_tokens
from selfedit.records import SamplingParams
from tests.support.reference import JOBS, engine_of, greedy, run_bank, sequences
from tests.support.tiny import FAMILIES, tiny_model

pytestmark = pytest.mark.model


def decoder_of(engine, stop=(0,), rows: int = 64) -> Decoder:
    return Decoder(engine.model, engine.holder, frozenset(stop), frozenset(), frozenset(), rows, 64)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_token_identical_to_generate(family: str) -> None:
    engine = engine_of(family)
    prompts = [t.ids for t in sequences(5, (4, 9, 17, 6, 6))]
    requests = [Request(p, -1, SamplingParams(temperature=0, max_new_tokens=12)) for p in prompts]
    found = decoder_of(engine, rows=3).generate(requests)
    reference = tiny_model(family)
    for prompt, (tokens, _) in zip(prompts, found, strict=True):
        assert tokens == greedy(reference, prompt, 12)


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_that_begin_alike_give_the_texts_that_each_gives_alone(family: str) -> None:
    engine = engine_of(family)
    rows = run_bank(engine, JOBS[:2], size=2)
    for slot, (row, job) in enumerate(zip(rows, JOBS[:2], strict=True)):
        engine.bank.load_row(slot, row, job.training.alpha / job.training.rank)
    start = sequences(9, (20,))[0].ids
    prompts = [start + rest.ids for rest in sequences(10, (1, 5, 9))]
    requests = [
        Request(p, slot, SamplingParams(temperature=0, max_new_tokens=9)) for p in prompts for slot in (-1, 0, 1)
    ]
    assert {slot: len(ids) for slot, ids in common_prefixes(requests)} == {-1: 20, 0: 20, 1: 20}
    together = decoder_of(engine, rows=4).generate(requests)
    assert together == [decoder_of(engine).generate([request])[0] for request in requests]


def test_a_shared_beginning_passes_the_model_once_in_a_call() -> None:
    engine = engine_of("llama")
    start = sequences(9, (20,))[0].ids
    requests = [Request((*start, i), -1, SamplingParams(temperature=0, max_new_tokens=1)) for i in range(1, 7)]
    passed: list[int] = []
    engine.model.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: passed.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    decoder = decoder_of(engine)
    assert decoder.generate(requests) == decoder.generate(requests)
    assert passed == [20, 6, 20, 6]


def test_the_common_beginning_leaves_each_prompt_a_token_and_is_none_where_it_is_short() -> None:
    start, greedy = tuple(range(1, 31)), SamplingParams(temperature=0)

    def shared(*prompts: tuple[int, ...]) -> list[int]:
        return [len(ids) for _, ids in common_prefixes([Request(p, 0, greedy) for p in prompts])]

    assert shared(start, (*start, 5), (*start, 6)) == [29]
    assert shared(start) == shared(start, start) == shared(start[:10], start[:12]) == shared(start, (9, 9)) == []


def test_every_adapter_answers_as_it_does_alone() -> None:
    engine = engine_of("llama")
    rows = run_bank(engine, JOBS, size=4)
    prompts = [t.ids for t in sequences(6, (5, 8))]
    greedy = SamplingParams(temperature=0, max_new_tokens=10)
    for slot, (row, job) in enumerate(zip(rows, JOBS, strict=True)):
        engine.bank.load_row(slot, row, job.training.alpha / job.training.rank)
    together = decoder_of(engine).generate([Request(p, s, greedy) for p in prompts for s in (3, 0, 2, 1)])
    alone = [decoder_of(engine).generate([Request(p, s, greedy)])[0] for p in prompts for s in (3, 0, 2, 1)]
    assert together == alone
    assert len({tuple(tokens) for tokens, _ in together}) > 2


def test_a_rows_draws_depend_on_its_seed_and_not_on_its_neighbours() -> None:
    engine = engine_of("llama")
    prompt = sequences(7, (9,))[0].ids
    warm = SamplingParams(temperature=1.0, top_p=0.9, max_new_tokens=15)
    requests = [Request(prompt, -1, warm, seed) for seed in range(6)]
    together = decoder_of(engine, rows=4).generate(requests)
    assert together == [decoder_of(engine).generate([request])[0] for request in requests]
    assert len({tuple(tokens) for tokens, _ in together}) == 6


def test_a_one_line_answer_ends_at_its_first_line_break_after_text() -> None:
    engine = engine_of("llama")
    prompt = sequences(8, (9,))[0].ids
    greedy = SamplingParams(temperature=0, max_new_tokens=10)
    full, _ = decoder_of(engine, stop=()).generate([Request(prompt, -1, greedy)])[0]
    line = full[3]
    decoder = Decoder(engine.model, engine.holder, frozenset(), frozenset({line}), frozenset({full[0]}), 4, 64)
    tokens, is_finished = decoder.generate([Request(prompt, -1, greedy, is_one_line=True)])[0]
    first = next(i for i, token in enumerate(full) if token == line and set(full[: i + 1]) - {full[0]})
    assert tokens == full[: first + 1] and is_finished


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    drawn = {draw_tokens(logits, [SamplingParams(1.0, 0.75)], [u / 100])[0] for u in range(100)}
    assert drawn == {0, 1}
    shares = [draw_tokens(logits, [SamplingParams(1.0, 0.75)], [u / 1000])[0] for u in range(1000)].count(0) / 1000
    assert shares == pytest.approx(0.5 / 0.8, abs=0.01)


def test_a_nucleus_larger_than_the_first_look_is_sorted_in_full() -> None:
    logits = torch.zeros(1, 1000)
    drawn = {draw_tokens(logits, [SamplingParams(1.0, 0.9005)], [u / 4000])[0] for u in range(4000)}
    assert len(drawn) == 901


def test_without_top_p_the_token_is_where_the_draw_falls_in_the_sorted_distribution_and_few_are_sorted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits = 3 * torch.randn(200, 5000, generator=torch.Generator().manual_seed(1))
    draws = torch.rand(200, generator=torch.Generator().manual_seed(2)).tolist()
    values, order = logits.softmax(-1).sort(dim=-1, descending=True, stable=True)
    places = [int((row.double().cumsum(0) <= draw).sum()) for row, draw in zip(values, draws, strict=True)]
    looks: list[int] = []
    likeliest = decoding._likeliest
    monkeypatch.setattr(
        decoding, "_likeliest", lambda rows, n: looks.append(len(rows) * (n == 5000)) or likeliest(rows, n)
    )
    drawn = draw_tokens(logits, [SamplingParams(1.0, 1.0)] * 200, draws)
    assert drawn == [int(order[i, place]) for i, place in enumerate(places)]
    assert sum(looks) < 100


def test_no_requests_give_no_texts() -> None:
    assert decoder_of(engine_of("llama")).generate([]) == []
