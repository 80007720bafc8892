"""K adapters in the bank against each one alone in PEFT: weights, losses, log-probabilities, text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from reference import (
    JOBS,
    assert_same_weights,
    engine_of,
    fill_slots,
    peft_losses,
    sequences,
    train_bank,
    train_peft,
)
from tiny import FAMILIES, Float64Throughout

from selfedit.engine.decoding import Decoder, Request
from selfedit.engine.scoring import mean_logprobs
from selfedit.records import Sampling

pytestmark = pytest.mark.model


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with Float64Throughout():
        yield


@pytest.mark.parametrize("family", FAMILIES)
def test_every_adapter_of_a_mixed_bank_is_the_one_that_peft_reaches_alone(family: str) -> None:
    """Weights, the loss of each epoch, log-probabilities and greedy text."""
    engine = engine_of(family)
    results = train_bank(engine, JOBS, size=4)
    fill_slots(engine, [result.row for result in results], JOBS)
    matrices = [engine.bank.matrices(r.row, job.settings.rank) for r, job in zip(results, JOBS, strict=True)]
    [probe] = sequences(9, (17,))
    logprobs = mean_logprobs(engine.model, engine.holder, [probe] * 4, [0, 1, 2, 3], 40)
    decoder = Decoder(engine.model, engine.holder, frozenset({0}), frozenset(), frozenset(), 3, 64)
    requests = [Request(probe.ids, slot, Sampling(temperature=0, max_new_tokens=12)) for slot in range(4)]
    texts = [tokens for tokens, _ in decoder.generate(requests)]
    for slot, job in enumerate(JOBS):
        alone, losses = train_peft(engine, job)
        assert_same_weights(matrices[slot], alone)
        assert results[slot].losses == pytest.approx(losses, rel=1e-8)
        with torch.no_grad():
            assert logprobs[slot] == pytest.approx(-peft_losses(alone, probe).mean().item(), rel=1e-8)
        assert texts[slot] == greedy(alone, probe.ids, 12)
    assert len({tuple(text) for text in texts}) > 1


def greedy(model: torch.nn.Module, prompt: tuple[int, ...], n: int) -> list[int]:
    """What transformers' generate writes, without its stop token 0."""
    ids = torch.tensor([prompt])
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False, pad_token_id=0
    )
    written = out[0, len(prompt) :].tolist()
    return written[: written.index(0)] if 0 in written else written
