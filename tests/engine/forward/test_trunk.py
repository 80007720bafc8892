"""The layers below the adapters: each sequence passes them once, and what is kept is never stale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfedit.engine.forward.scoring import mean_logprobs
from selfedit.engine.train.adapters import TrainingJob
from selfedit.protocols import Engine
from selfedit.records import UNTOUCHED, Example, Policy, Prompt, Query, TrainingConfig, Trial, TrialResult, TrialSpec
from tests.support.reference import (
    JOBS,
    UPPER,
    engine_of,
    fill_slots,
    learn,
    run_bank,
    sequences,
    tokens_passed,
    tried,
)
from tests.support.tiny import FAMILIES

pytestmark = pytest.mark.model


def test_each_distinct_sequence_passes_the_lower_layers_once_over_all_epochs_adapters_and_scoring() -> None:
    engine = engine_of("llama", n_layers=4, pack_tokens=40)
    jobs = [*UPPER, replace(UPPER[0], examples=UPPER[0].examples + UPPER[3].examples, seed=99)]
    with tokens_passed(engine, 1) as below, tokens_passed(engine, 2) as above:
        run_bank(engine, jobs, size=3)
        run_bank(engine, [replace(job, seed=job.seed + 50) for job in jobs], size=5)
        probe = (*sequences(9, (17,)), *UPPER[1].examples)
        mean_logprobs(engine.model, engine.holder, probe, [0, 1], 40, engine.lower)
    distinct = {t.ids for job in jobs for t in job.examples} | {t.ids for t in probe}
    assert sum(below) == sum(map(len, distinct))
    per_epoch = [sum(len(t.ids) for t in job.examples) for job in jobs]
    trained = 2 * sum(n * job.training.epochs for n, job in zip(per_epoch, jobs, strict=True))
    assert sum(above) == trained + sum(len(t.ids) for t in probe)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_above_the_trunk_are_those_of_a_whole_pass(family: str) -> None:
    engine = engine_of(family, n_layers=4)
    fill_slots(engine, run_bank(engine, UPPER, size=4), UPPER)
    probe, slots = sequences(9, (17, 5, 12, 9)), [2, -1, 0, 3]
    whole = mean_logprobs(engine.model, engine.holder, probe, slots, 30)
    with tokens_passed(engine, 0) as below:
        above = mean_logprobs(engine.model, engine.holder, probe, slots, 30, engine.lower)
        again = mean_logprobs(engine.model, engine.holder, probe, slots, 30, engine.lower)
    assert above == pytest.approx(whole, rel=1e-7) and again == above
    assert sum(below) == 17 + 5 + 12 + 9


def test_a_trunk_without_room_forgets_and_the_weights_stay_the_same() -> None:
    roomy, narrow = engine_of("llama", n_layers=4), engine_of("llama", n_layers=4)
    row_bytes = 32 * 8
    narrow.trunk.max_bytes = 25 * row_bytes
    wanted = run_bank(roomy, UPPER, size=4)
    with tokens_passed(narrow, 0) as below:
        found = run_bank(narrow, UPPER, size=4)
    assert narrow.trunk.bytes <= narrow.trunk.max_bytes
    assert narrow.trunk.bytes == sum(hidden.nbytes for hidden in narrow.trunk.hidden.values())
    assert sum(below) > sum(len(t.ids) for job in UPPER for t in job.examples)
    for one, two in zip(wanted, found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-10)


def test_another_policy_or_another_share_of_layers_never_meets_a_stale_trunk(tmp_path: Path) -> None:
    strong = TrainingConfig(rank=4, alpha=16, learning_rate=2e-2, epochs=5)
    used = engine_of("llama", n_layers=4, home=tmp_path)
    policy = learn(used, "new", [Example("seven red boats")], strong)

    def result_of(engine: Engine, policy: Policy, share: float) -> TrialResult:
        ask = Query("q", "who?", "a widow", Prompt("Question: who?\nAnswer:", raw=True), max_new_tokens=6)
        settings = TrainingConfig(rank=4, epochs=2, top_layers=share)
        [found] = tried(engine, Trial("x", TrialSpec((Example("A town on the coast"),), (ask,)), settings, 3, policy))
        return replace(found, seconds=0.0)

    cases = [(UNTOUCHED, 0.5), (policy, 0.5), (policy, 0.25), (policy, 1.0), (UNTOUCHED, 0.5)]
    found = [result_of(used, *case) for case in cases]
    assert found == [result_of(engine_of("llama", n_layers=4, home=tmp_path), *case) for case in cases]
    assert len({a.losses for a in found}) == 4


@pytest.mark.parametrize("jobs", [JOBS, UPPER], ids=["all layers", "upper half"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_layers_that_run_again_in_the_backward_pass_give_the_same_weights(family: str, jobs: list[TrainingJob]) -> None:
    engine = engine_of(family, n_layers=4)
    kept = run_bank(engine, jobs, size=4)
    with tokens_passed(engine, 3) as passes:
        engine.sizes.is_recomputed = True
        again = run_bank(engine, jobs, size=4)
    assert len(passes) == 2 * max(job.n_steps for job in jobs)
    for one, two in zip(kept, again, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)
