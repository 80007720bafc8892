"""Texts that go on while their adapters change: what they answer is what a plain pass of the visible text says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from selfedit.engine.engine import TorchEngine
from selfedit.engine.moving import AdaptedTexts
from selfedit.errors import SelfeditError
from selfedit.records import (
    Candidates,
    Example,
    Keys,
    MidQuestion,
    MidStudy,
    Prompt,
    SamplingParams,
    TrainingConfig,
)

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("float64")]
TRAINING = TrainingConfig(rank=2, alpha=4.0, learning_rate=2e-2, epochs=4, batch_size=8)
PIECES = ("the quick brown fox jumps over ", "seven red boats cross the river ", "a town on the coast ")
PLACES = (
    Candidates("Question: who? Answer:", (" fox", " dog", " a widow"), " dog"),
    Candidates(" and", (" noon", " river"), " noon"),
)
LEARN = (Example("the dog was founded by a widow"), Example("noon", Prompt("Topic:", raw=True)))


def opened(engine: TorchEngine, count: int = 2, is_stale: bool = False) -> AdaptedTexts:
    texts = AdaptedTexts(engine, count, TRAINING, seed=3, is_stale=is_stale)
    for number in range(count):
        for piece in PIECES[: number + 2]:
            texts.read([(number, piece)])
    return texts


def plain_logprob(engine: TorchEngine, *pieces: str) -> float:
    """Of the gold values behind the pieces, by transformers alone, without adapters."""
    ids = [token for piece in pieces for token in engine.tokenizer(piece).input_ids]
    loss_at: list[int] = []
    for place in PLACES:
        ids = ids + engine.tokenizer(place.before).input_ids
        gold = engine.tokenizer(place.gold).input_ids
        loss_at += range(len(ids), len(ids) + len(gold))
        ids = ids + gold
    engine.bank.release()
    engine.holder.follow((), engine.model.device, engine.model.dtype, lengths=(len(ids),))
    with torch.no_grad():
        logits = engine.model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    return float(sum(logits[at - 1, ids[at]] for at in loss_at)) / len(loss_at)


def asked(texts: AdaptedTexts, *questions: MidQuestion) -> list[float]:
    return [answer.gold_logprob for answer in texts.ask(questions)]


def about(text: int, adapter: int | None = None, keys: Keys = "fresh") -> MidQuestion:
    return MidQuestion(text, PLACES, adapter=adapter, keys=keys)


def learnt(texts: AdaptedTexts, numbers: Sequence[int], keep: int = 9, tolerance: float = 99.0):
    return texts.study([MidStudy(number, LEARN, 1, keep) for number in numbers], tolerance)


def test_an_answer_is_that_of_a_plain_pass_of_text_and_question(engine: TorchEngine) -> None:
    found = asked(opened(engine), about(0), about(1), about(1, -1))
    assert found[0] == pytest.approx(plain_logprob(engine, *PIECES[:2]))
    assert found[1] == pytest.approx(plain_logprob(engine, *PIECES))
    assert found[2] == found[1]


def test_the_likeliest_values_are_chosen(engine: TorchEngine) -> None:
    [answer] = opened(engine).ask([about(0)])
    assert len(answer.values) == 2
    assert all(value in place.values for value, place in zip(answer.values, PLACES, strict=True))


def test_what_one_text_learns_changes_its_own_answers_alone(engine: TorchEngine) -> None:
    texts = opened(engine)
    before = asked(texts, about(0), about(1))
    [done] = learnt(texts, [0])
    after = asked(texts, about(0), about(1))
    assert done.is_kept
    assert done.line_losses[-1] < done.line_losses[0]
    assert after[0] != pytest.approx(before[0], abs=1e-4)
    assert after[1] == pytest.approx(before[1], abs=1e-12)
    assert asked(texts, about(1, 0))[0] != pytest.approx(before[1], abs=1e-4)


def test_what_makes_the_visible_text_less_likely_is_taken_back(engine: TorchEngine) -> None:
    texts = opened(engine)
    before = asked(texts, about(0))
    [done] = learnt(texts, [0], tolerance=-99.0)
    assert not done.is_kept
    assert done.loss_after != done.loss_before
    assert asked(texts, about(0)) == before


def test_a_study_may_make_fewer_passes_than_the_adapter_s_training_says(engine: TorchEngine) -> None:
    texts = opened(engine)
    [whole] = learnt(texts, [0])
    [cut] = texts.study([MidStudy(1, LEARN, 1, 9, passes=1)], 99.0)
    assert (whole.steps, cut.steps) == (4, 1) and len(cut.line_losses) == 1
    assert 0 < cut.training_seconds <= cut.seconds


def test_past_the_window_only_the_newest_pieces_are_read(engine: TorchEngine) -> None:
    texts = opened(engine)
    [done] = texts.study([MidStudy(1, (), 0, 1)], 0.0)
    assert not done.is_kept
    assert done.failure == ""
    assert asked(texts, about(1))[0] == pytest.approx(plain_logprob(engine, PIECES[2]))


def test_stale_keys_are_those_that_were_made_when_a_piece_was_read(engine: TorchEngine) -> None:
    texts = opened(engine, is_stale=True)
    fresh, stale = asked(texts, about(0), about(0, keys="stale"))
    assert stale == pytest.approx(fresh)
    learnt(texts, [0])
    fresh, stale = asked(texts, about(0), about(0, keys="stale"))
    assert stale != pytest.approx(fresh, abs=1e-4)


def test_the_engine_may_do_other_things_in_between_and_is_left_as_it_was(engine: TorchEngine) -> None:
    weights = {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}
    texts = opened(engine)
    learnt(texts, [0, 1])
    before = asked(texts, about(0), about(1))
    engine.reserve(3, 4, 0, list(engine.bank.layers))
    assert asked(texts, about(0), about(1)) == before
    del texts
    assert all(torch.equal(weights[name], tensor) for name, tensor in engine.model.state_dict().items())


def test_a_reply_follows_its_schema_behind_the_text_or_alone(engine: TorchEngine) -> None:
    schema = '{"enum": ["boats", "fox"]}'
    prompt = Prompt("Question: what? Answer:", raw=True, json_schema=schema)
    greedy = SamplingParams(temperature=0.0, max_new_tokens=24)
    texts = opened(engine)
    replies = texts.ask(
        [MidQuestion(0, prompt=prompt, sampling=greedy, is_behind_text=is_it) for is_it in (True, False)]
    )
    assert {reply.reply for reply in replies} <= {'"boats"', '"fox"'}


def test_training_goes_on_from_where_it_was(engine: TorchEngine) -> None:
    texts = opened(engine)
    [first] = learnt(texts, [0])
    [second] = learnt(texts, [0])
    assert second.line_losses[0] == pytest.approx(first.line_losses[-1], rel=0.8)
    assert second.line_losses[0] < first.line_losses[0]


def test_a_piece_beyond_the_models_context_is_refused(engine: TorchEngine) -> None:
    with pytest.raises(SelfeditError, match="exceeds the model's context of 256"):
        opened(engine).read([(0, PIECES[0] * 40)])


def test_what_stands_beside_the_window_is_read_behind_it_and_leaves_it_alone(engine: TorchEngine) -> None:
    texts = opened(engine)
    alone = asked(texts, about(0))
    noted = replace(about(0), behind=PIECES[2])
    found = asked(texts, noted, replace(noted, places=PLACES[:1]), about(0))
    assert found[0] == pytest.approx(plain_logprob(engine, *PIECES[:3]))
    assert found[2] == alone[0]
