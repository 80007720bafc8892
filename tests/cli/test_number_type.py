"""Which number type suits a machine, from what was measured there."""

from __future__ import annotations

import pytest

import selfedit.engine
from selfedit.cli.number_type import CLEARLY_FASTER, choose_number_type, faster_type


def measured(float32: float, bfloat16: float) -> dict[str, float | str]:
    return {"device": "cpu", "dtype": "float32", "gflops": float32, "gflops_bfloat16": bfloat16}


@pytest.mark.parametrize(
    ("float32", "bfloat16", "dtype"),
    [(188.0, 863.0, "bfloat16"), (150.0, 75.0, "float32"), (100.0, 140.0, "float32"), (100.0, 150.0, "bfloat16")],
)
def test_a_cpu_computes_in_bfloat16_only_where_that_is_clearly_faster(
    float32: float, bfloat16: float, dtype: str
) -> None:
    found = faster_type(measured(float32, bfloat16))
    assert found.dtype == dtype
    assert f"{bfloat16 / float32:.1f} times as fast as in float32" in found.why


def test_the_bound_is_told_where_it_was_not_reached() -> None:
    assert f"{CLEARLY_FASTER} times would change that" in faster_type(measured(100.0, 50.0)).why


def test_a_gpu_computes_in_its_own_number_type_without_a_choice() -> None:
    found = faster_type({"device": "A GPU", "dtype": "bfloat16", "gflops": 700_000.0})
    assert (found.dtype, found.why) == ("bfloat16", "as on any GPU")


def test_the_machine_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfedit.engine, "measure_device", lambda: measured(1.0, 3.0))
    assert choose_number_type().dtype == "bfloat16"
