"""Several continuations of one prompt are as likely as each by itself."""

from __future__ import annotations

import pytest
import torch

from selfedit.engine.forward.packing import Tokens
from selfedit.engine.forward.scoring import mean_logprobs
from selfedit.engine.generate.candidates import continuation_logprobs
from selfedit.engine.train.adapters import TrainingJob
from selfedit.records import TrainingConfig
from tests.support.reference import engine_of, fill_slots, run_bank, sequences
from tests.support.tiny import FAMILIES, Float64Throughout

pytestmark = pytest.mark.model


def candidates() -> tuple[list[Tokens], list[int]]:
    """Three prompts in two slots and without an adapter: with four, three, two continuations and one."""
    prompts = [one.ids for one in sequences(3, (21, 9, 34, 12))]
    ends = [one.ids for one in sequences(4, (5, 2, 9, 1, 5, 7, 3, 4, 6, 2))]
    owners, slots = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3], [0, 0, 0, 0, 1, 1, 1, -1, -1, 0]
    found = [Tokens((*prompts[owner], *end), len(prompts[owner])) for owner, end in zip(owners, ends, strict=True)]
    order = [3, 9, 0, 5, 7, 1, 4, 2, 8, 6]
    return [found[i] for i in order], [slots[i] for i in order]


@pytest.mark.parametrize("max_rows", [64, 5, 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_continuations_of_one_prompt_are_as_likely_as_each_by_itself(family: str, max_rows: int) -> None:
    engine = engine_of(family)
    settings = TrainingConfig(rank=4, alpha=8.0, learning_rate=1e-2, epochs=2)
    jobs = [TrainingJob(sequences(seed, (8, 13)), settings, seed) for seed in (1, 2)]
    with Float64Throughout():
        fill_slots(engine, run_bank(engine, jobs, 2), jobs)
        found, slots = candidates()
        alone = mean_logprobs(engine.model, engine.holder, found, slots, 60)
        together = continuation_logprobs(engine.model, engine.holder, found, slots, 60, max_rows)
    assert torch.tensor(together, dtype=torch.float64) == pytest.approx(
        torch.tensor(alone, dtype=torch.float64), abs=1e-9
    )
    assert len({round(value, 6) for value in together}) == len(together)


def test_nothing_to_score_is_nothing() -> None:
    engine = engine_of("llama")
    assert continuation_logprobs(engine.model, engine.holder, [], [], 60, 8) == []
