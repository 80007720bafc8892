"""The arithmetic of memory: exact where it counts numbers, monotone where it plans."""

from __future__ import annotations

import pytest

from selfedit.errors import SelfeditError
from selfedit.sizing import FEWEST_TOKENS, MOST_TOKENS, SHAPES, plan

GB = 2**30


def test_the_known_models_have_their_published_numbers_of_parameters() -> None:
    counts = {name: shape.parameters for name, shape in SHAPES.items()}
    assert counts == {"135M": 134_515_008, "1.5B": 1_543_714_304, "7B": 7_615_616_512}


def test_an_adapter_grows_with_its_rank_its_targets_and_its_share_of_the_layers() -> None:
    shape = SHAPES["135M"]
    whole = shape.adapter_weights(16, "all-linear")
    assert whole == 16 * 305_280
    assert shape.adapter_weights(32, "all-linear") == 2 * whole
    assert shape.adapter_weights(16, "all-linear", share=0.5) == whole // 2
    assert shape.adapter_weights(16, "q_proj,v_proj") == 16 * 30 * (576 + 576 + 576 + 192)


def test_a_layer_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(
        SelfeditError, match=r"inner.target_modules: no linear layer is called c_attn; there are q_proj"
    ):
        SHAPES["7B"].adapter_weights(8, "q_proj,c_attn")


def test_recomputed_layers_keep_less_of_a_token() -> None:
    shape = SHAPES["7B"]
    assert shape.kept_per_token(2, is_recomputed=True) < shape.kept_per_token(2) / 10
    assert shape.kept_per_token(4) == 2 * shape.kept_per_token(2)


@pytest.mark.parametrize("name", SHAPES)
def test_more_free_memory_never_plans_less(name: str) -> None:
    plans = [plan(SHAPES[name], "cuda", 2, 32, 2.0**power) for power in range(20, 45)]
    assert [p.slots for p in plans] == sorted(p.slots for p in plans)
    assert (plans[0].slots, plans[0].pack_tokens, plans[0].is_recomputed) == (1, FEWEST_TOKENS, True)
    assert (plans[-1].slots, plans[-1].pack_tokens, plans[-1].is_recomputed) == (32, MOST_TOKENS["cuda"], False)


def test_a_larger_model_never_plans_more() -> None:
    slots = [plan(SHAPES[name], "cuda", 2, 32, 16 * GB).slots for name in ("135M", "1.5B", "7B")]
    assert slots == sorted(slots, reverse=True) and slots[0] > slots[-1]
