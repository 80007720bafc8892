"""Estimates of memory and time: monotone, honest about what does not fit, near what was measured."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from selfedit.cli.estimates import GPUS, Device, Estimate, assumptions, estimate, estimate_run_seconds
from selfedit.loop import TrainConfig
from selfedit.recipes import RECIPES
from selfedit.records import TrainingConfig
from selfedit.sizing import SHAPES

PAPER = RECIPES["paper"]
CPU = Device("this CPU", "cpu", 24e9, {"float32": 300.0, "bfloat16": 200.0})
SMALL, LARGE = GPUS


def of(name: str, device: Device, config: TrainConfig = PAPER) -> Estimate:
    return estimate(name, SHAPES[name], config, device)


def paper(**inner: object) -> TrainConfig:
    return PAPER.model_copy(update={"inner": replace(PAPER.inner, **inner)})  # type: ignore[arg-type]


def per_layer(row: Estimate) -> float:
    assert row.seconds_per_self_edit is not None
    return row.seconds_per_self_edit / SHAPES[row.model].layers


@pytest.mark.parametrize("device", [CPU, *GPUS], ids=lambda device: device.name)
def test_a_larger_model_takes_more_memory_and_time_and_fits_fewer_trials(device: Device) -> None:
    rows = [of(name, device) for name in ("135M", "1.5B", "7B")]
    for smaller, larger in pairwise(rows):
        assert larger.weights_gb > smaller.weights_gb
        assert larger.full_finetuning_gb > smaller.full_finetuning_gb
        assert larger.trials_at_once <= smaller.trials_at_once
        if larger.trials_at_once:
            assert per_layer(larger) > 0.999 * per_layer(smaller)  # launches may decide, as many for each


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("device", [CPU, *GPUS], ids=lambda device: device.name)
def test_what_is_said_to_fit_is_within_the_devices_memory(name: str, device: Device) -> None:
    row = of(name, device)
    assert (row.trials_at_once > 0) == (row.total_gb <= row.memory_gb)
    assert row.is_full_finetuning_fitting == (row.full_finetuning_gb <= row.memory_gb)
    assert row.weights_gb + row.bank_gb + row.pass_gb < row.total_gb


def test_what_does_not_fit_has_no_time() -> None:
    row = of("7B", CPU)
    assert row.dtype == "float32" and row.trials_at_once == 0
    assert row.seconds_per_self_edit is None and row.hours_per_round is None


def test_a_7b_model_trains_adapters_on_24_gb_but_not_all_of_itself_even_on_80() -> None:
    assert of("7B", SMALL).trials_at_once == 1 and of("7B", SMALL).is_recomputed
    assert not of("7B", LARGE).is_full_finetuning_fitting
    full = of("7B", LARGE, paper(method="full"))
    assert full.trials_at_once == 0 and full.bank_gb == pytest.approx(18 * 7.6156, rel=1e-3)
    wide = PAPER.model_copy(update={"dtype": "float32"})
    assert of("7B", SMALL, wide).trials_at_once == 0


def test_full_finetuning_of_what_fits_goes_one_trial_at_a_time() -> None:
    row = of("1.5B", LARGE, paper(method="full"))
    assert row.is_full_finetuning_fitting and row.trials_at_once == 1
    assert row.seconds_per_self_edit > of("1.5B", LARGE).seconds_per_self_edit  # type: ignore[operator]


def test_a_bank_that_is_asked_for_is_taken_and_halved_until_it_fits() -> None:
    assert of("135M", SMALL, PAPER.model_copy(update={"bank": 5})).trials_at_once == 5
    wide = paper(rank=2048, target_modules="all-linear")
    assert 0 < of("1.5B", LARGE, wide).trials_at_once < of("1.5B", LARGE).trials_at_once


def test_upper_layers_fewer_epochs_and_lower_rank_take_less() -> None:
    row, upper = of("135M", CPU), of("135M", CPU, paper(top_layers=0.5))
    assert upper.pass_gb < row.pass_gb and upper.bank_gb < row.bank_gb
    assert upper.seconds_per_self_edit < row.seconds_per_self_edit  # type: ignore[operator]
    assert of("135M", CPU, paper(epochs=5)).hours_per_round < row.hours_per_round  # type: ignore[operator]
    assert of("135M", CPU, paper(rank=8)).bank_gb == pytest.approx(row.bank_gb / 4)


def test_a_number_type_whose_rate_is_not_known_leaves_the_time_open() -> None:
    row = of("135M", CPU, PAPER.model_copy(update={"dtype": "float64"}))
    assert row.trials_at_once > 0 and row.seconds_per_self_edit is None


def test_a_round_is_its_trials_and_its_self_edits() -> None:
    once = PAPER.model_copy(update={"contexts": 1, "edits": 1, "seeds": 1})
    row, single = of("1.5B", LARGE), of("1.5B", LARGE, once)
    assert single.seconds_per_self_edit == row.seconds_per_self_edit
    assert 250 * row.seconds_per_self_edit < 3600 * row.hours_per_round < 760 * row.seconds_per_self_edit  # type: ignore[operator]


@pytest.mark.parametrize("device", [CPU, *GPUS], ids=lambda device: device.name)
def test_previews_cost_less_than_the_trials_that_they_save_and_more_than_nothing(device: Device) -> None:
    wide = PAPER.model_copy(update={"edits": 16})
    hours = [
        of("135M", device, config).hours_per_round
        for config in (PAPER.model_copy(update={"edits": 4}), wide.model_copy(update={"preview": 4}), wide)
    ]
    assert hours == sorted(hours, key=lambda one: one or 0) and len(set(hours)) == 3


def test_measured_peaks_of_memory_are_met_from_above_within_a_third() -> None:
    bench = PAPER.model_copy(update={"inner": TrainingConfig(rank=16), "bank": 8})
    assert 3.2 < of("135M", CPU, bench).total_gb < 3.2 * 4 / 3
    assert of("135M", CPU, RECIPES["embedded"]).total_gb == pytest.approx(2.86, rel=0.05)


def test_the_demo_is_estimated_within_a_half_of_what_it_took() -> None:
    measured = 9 * 60 + 23  # when it studied for six epochs, and answers had 64 tokens
    then = {name: getattr(RECIPES["embedded"], name) for name in ("inner", "task_args")}
    demo = RECIPES["demo"].model_copy(update=then)
    at_its_rates = [replace(CPU, gflops={"float32": rate}) for rate in (270.0, 400.0)]
    slow, fast = (estimate_run_seconds(SHAPES["135M"], demo, device) for device in at_its_rates)
    assert measured / 1.5 < fast < slow < measured * 1.5


def test_the_assumptions_say_what_they_are() -> None:
    said = assumptions(PAPER)
    assert "\n" not in said and said.startswith("Estimates. Assumed:")
    for part in (
        "9 sequences and 600 tokens",
        "10 epochs",
        "165 TFLOP/s (24 GB GPU)",
        "312 TFLOP/s (80 GB GPU)",
        "25%",
    ):
        assert part in said
