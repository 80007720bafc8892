"""An adapter of a lower rank, against the singular values of the whole product."""

from __future__ import annotations

import pytest
import torch

from selfedit.engine.lora.bank import Matrices
from selfedit.engine.lora.compression import compressed
from selfedit.engine.lora.peft_format import stack
from tests.support.reference import assert_same_product, products


def adapter(seed: int, rank: int, n_in: int = 11, n_out: int = 7) -> Matrices:
    """Two layers, the second turned about."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {"up": (n_in, n_out), "down": (n_out, n_in)}
    return {
        name: (
            torch.randn(rank, reads, generator=draw, dtype=torch.float64),
            torch.randn(says, rank, generator=draw, dtype=torch.float64),
        )
        for name, (reads, says) in shapes.items()
    }


def test_a_sum_of_adapters_stays_what_it_is_where_the_rank_suffices() -> None:
    parts = adapter(0, 2), adapter(1, 3)
    found, kept = compressed(stack(parts), 5)
    assert kept == 1.0
    wanted = {name: product + products(parts[1])[name] for name, product in products(parts[0]).items()}
    for name, product in products(found).items():
        torch.testing.assert_close(product, wanted[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_a_lower_rank_comes_as_near_as_any_matrix_of_that_rank_can(rank: int) -> None:
    whole = adapter(2, 6)
    found, kept = compressed(whole, rank)
    values = {name: torch.linalg.svdvals(product) for name, product in products(whole).items()}
    for name, product in products(whole).items():
        assert found[name][0].shape[0] == found[name][1].shape[1] == rank
        missed = torch.linalg.matrix_norm(product - products(found)[name]) ** 2
        torch.testing.assert_close(missed, values[name][rank:].square().sum(), rtol=1e-9, atol=1e-12)
    left = sum(float(one[:rank].square().sum()) for one in values.values())
    assert kept == pytest.approx(left / sum(float(one.square().sum()) for one in values.values()))


def test_a_rank_above_what_a_layer_can_have_is_filled_up_with_zeros() -> None:
    whole = adapter(3, 9, n_in=4, n_out=5)
    found, kept = compressed(whole, 8)
    assert {(a.shape[0], b.shape[1]) for a, b in found.values()} == {(8, 8)}
    assert kept == pytest.approx(1.0)
    assert_same_product(found, whole)


def test_an_adapter_of_a_lower_rank_keeps_it() -> None:
    found, _ = compressed(adapter(4, 2), 16)
    assert {a.shape[0] for a, _ in found.values()} == {2}


def test_what_adds_up_to_nothing_has_lost_nothing() -> None:
    nothing = {name: (a, b * 0) for name, (a, b) in adapter(5, 3).items()}
    found, kept = compressed(nothing, 2)
    assert kept == 1.0
    assert all(not product.any() for product in products(found).values())


def test_the_number_type_stays() -> None:
    low = {name: (a.float(), b.float()) for name, (a, b) in adapter(6, 3).items()}
    found, _ = compressed(low, 2)
    assert {matrix.dtype for pair in found.values() for matrix in pair} == {torch.float32}
