"""Weights of 8 bits, for drawing texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from selfedit.engine import load_engine
from selfedit.engine.forward.eight_bits import EightBits
from selfedit.engine.forward.packing import pack
from selfedit.engine.forward.scoring import next_logits
from selfedit.engine.model.devices import is_rounding
from selfedit.errors import SelfeditError
from selfedit.records import UNTOUCHED, Generation, Prompt, Query, SamplingParams, TrainingConfig, Trial, TrialSpec
from tests.support.reference import JOBS, engine_of, run_bank, sequences
from tests.support.tiny import FAMILIES, save_tiny

pytestmark = pytest.mark.model
GREEDY = SamplingParams(temperature=0, max_new_tokens=12)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_product_in_eight_bits_is_off_by_what_rounding_the_weights_costs() -> None:
    weight, x = drawn(0, 96, 64), drawn(1, 7, 64)
    x[:, 3] *= 100  # one channel far larger than the others, as models have them
    scales = weight.abs().amax(1, keepdim=True) / 127
    rounded = (weight / scales).round() * scales
    found, exact = EightBits(weight).product(x), x @ weight.t()
    by_weights = (x @ rounded.t() - exact).abs().mean()
    assert (found - x @ rounded.t()).abs().mean() < 0.05 * by_weights
    assert 0 < by_weights < 0.01 * exact.abs().mean()


def test_a_rows_product_does_not_depend_on_the_rows_beside_it() -> None:
    weight, x = EightBits(drawn(0, 40, 64)), drawn(1, 9, 64)
    x[0] *= 1000
    together = weight.product(x)
    assert all(torch.equal(together[i : i + 1], weight.product(x[i : i + 1])) for i in range(9))


def test_rows_and_outputs_of_zeros_give_zeros_and_the_number_type_stays() -> None:
    weight, x = drawn(0, 40, 64), drawn(1, 3, 64).bfloat16()
    weight[5], x[1] = 0, 0
    found = EightBits(weight).product(x)
    assert found.dtype == torch.bfloat16
    assert not found[1].any() and not found[:, 5].any() and found[0, 4]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_expects_in_eight_bits_nearly_what_it_expects_otherwise(family: str) -> None:
    engine = engine_of(family)
    [row] = run_bank(engine, JOBS[:1], size=1)
    engine.bank.load_row(0, row, JOBS[0].training.alpha / JOBS[0].training.rank)
    texts = sequences(5, (4, 9, 17, 6))
    packed = pack(texts, [-1, 0, -1, 0], engine.model.device)
    ends = torch.tensor([3, 12, 29, 35])

    def logits(is_rounded: bool) -> torch.Tensor:
        how = {"lengths": packed.lengths, "is_rounded": is_rounded}
        engine.holder.follow(packed.segments, engine.model.device, engine.model.dtype, **how)
        return next_logits(engine.model, engine.holder, packed.ids, packed.positions, ends)

    with torch.no_grad():
        exact, found = logits(False), logits(True)
    off = (found - exact).norm() / exact.norm()
    assert 0 < off < 0.03


def generation(text: str) -> Generation:
    return Generation(UNTOUCHED, Prompt(text), GREEDY, 0)


def test_only_drawn_texts_are_rounded_and_answers_are_not(tmp_path: Path, products: list[int]) -> None:
    model = str(save_tiny(tmp_path, "llama"))
    plain, rounding = load_engine(model, "cpu"), load_engine(model, "cpu", write_dtype="int8")
    query = Query("q", "what", "nine", Prompt("one two three four five six seven eight"))
    trial = Trial("t", TrialSpec((), (query,)), TrainingConfig(), 0)
    [[asked]] = [done.results for done in rounding.run_trials([[trial]])]
    assert products == []
    list(rounding.generate([[generation("one two three")]]))
    assert products
    [[again]] = [done.results for done in rounding.run_trials([[trial]])]
    [[other]] = [done.results for done in plain.run_trials([[trial]])]
    assert asked.answers == again.answers == other.answers


def test_what_can_be_made_again_is_freed_and_made_again(tmp_path: Path, products: list[int]) -> None:
    engine = load_engine(str(save_tiny(tmp_path, "llama")), "cpu", write_dtype="int8")
    first = list(engine.generate([[generation("one two three")]]))
    products.clear()
    engine.holder.release()
    assert [one.results for one in engine.generate([[generation("one two three")]])] == [one.results for one in first]
    assert products


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every product in 8 bits."""
    seen: list[int] = []
    found = EightBits.product

    def product(weight: EightBits, x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return found(weight, x)

    monkeypatch.setattr(EightBits, "product", product)
    return seen


def test_eight_bits_are_for_writing_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_rounding("int8", torch.device("cpu")) and not is_rounding("same", torch.device("cuda"))
    with pytest.raises(SelfeditError, match="write_dtype int8: is for CPUs, not for cuda"):
        is_rounding("int8", torch.device("cuda"))
    with pytest.raises(SelfeditError, match="write_dtype int4: known are same and int8"):
        is_rounding("int4", torch.device("cpu"))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(SelfeditError, match="write_dtype int8: this torch comes without oneDNN"):
        is_rounding("int8", torch.device("cpu"))
