"""Sizes from free memory, and what happens when memory runs out nevertheless."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from selfedit.engine.engine import TorchEngine
from selfedit.engine.model import memory
from selfedit.engine.model.memory import Sizes, is_out_of_memory, plan_sizes, within_memory
from selfedit.errors import SelfeditError
from selfedit.records import Example, Prompt, Query, TrainingConfig, Trial, TrialSpec
from tests.support.reference import JOBS, engine_of, tried

pytestmark = pytest.mark.model
GB = 2**30


def plan(free: int, wanted: int = 8) -> Sizes:
    engine = engine_of("llama")
    return plan_sizes(engine.model, wanted, engine.bank.width, free)


def hold_at_most(engine: TorchEngine, tokens: int) -> None:
    """Let every pass of more tokens than these run out of memory, as a GPU does."""

    def refuse(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        if kwargs["input_ids"].numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    engine.model.base_model.register_forward_pre_hook(refuse, with_kwargs=True)


def test_more_free_memory_never_means_smaller_sizes_and_plenty_means_the_most() -> None:
    plans = [plan(2**power) for power in range(10, 40)]
    assert [p.slots for p in plans] == sorted(p.slots for p in plans)
    assert plans[0].slots == 1 and plans[0].is_recomputed and plans[0].pack_tokens == 256
    assert (plans[-1].slots, plans[-1].pack_tokens, plans[-1].is_recomputed) == (8, 1024, False)


def test_a_bank_that_was_asked_for_is_not_rounded_where_it_fits() -> None:
    assert plan(64 * GB, wanted=6).slots == 6


def test_free_memory_is_at_most_what_the_cgroup_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    assert memory.free_bytes(torch.device("cpu")) == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(torch.device("cpu")) > 2_000_000


def test_out_of_memory_halves_and_gives_the_same_adapters_and_says_so(caplog) -> None:
    wanted = engine_of("llama")._train(JOBS)
    engine = engine_of("llama", pack_tokens=1024)
    hold_at_most(engine, 60)
    engine.sizes.pack_tokens = 512
    with caplog.at_level(logging.WARNING, "selfedit"):
        found = engine.within_memory(lambda: engine._train(JOBS))
    assert [record.message for record in caplog.records] == [
        "out of memory: going on with 4 adapters and 256 tokens at a time",
        "out of memory: going on with 2 adapters and 256 tokens at a time",
    ]
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(one.row, other.row, rtol=1e-7, atol=1e-10)


def test_answers_survive_running_out_of_memory_while_asking() -> None:
    queries = [Query(f"q{i}", "who?", "the Drava", Prompt(f"Question {i}?"), max_new_tokens=4) for i in range(3)]
    spec = TrialSpec((Example("The mill stands on the Drava."),), tuple(queries))
    trials = [Trial(str(i), spec, TrainingConfig(rank=2, alpha=4, epochs=1), i) for i in range(3)]
    wanted = tried(engine_of("llama"), *trials)
    engine = engine_of("llama", pack_tokens=16)
    hold_at_most(engine, 64)
    found = tried(engine, *trials)
    assert [[a.text for a in one.answers] for one in found] == [[a.text for a in one.answers] for one in wanted]


def test_with_nothing_left_to_halve_the_error_is_one_line() -> None:
    engine = engine_of("llama")
    hold_at_most(engine, 0)
    with pytest.raises(SelfeditError, match="one adapter at a time") as caught:
        engine.within_memory(lambda: engine._train(JOBS))
    assert "\n" not in str(caught.value)


def test_halving_ends_with_recomputation_and_then_gives_up() -> None:
    sizes = Sizes(slots=4, pack_tokens=1024, rows=4)
    steps = 0
    while sizes.halve():
        steps += 1
    assert (sizes.slots, sizes.rows, sizes.pack_tokens, sizes.is_recomputed, steps) == (1, 1, 256, True, 3)


def test_other_errors_are_not_taken_for_memory() -> None:
    def work() -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        within_memory(Sizes(2, 512), work, lambda: None)
    assert is_out_of_memory(MemoryError())


def test_torch_running_out_of_ram_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**46)
    assert is_out_of_memory(caught.value)
