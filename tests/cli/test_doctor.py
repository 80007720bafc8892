"""What `selfedit doctor` says, with a machine made up."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import selfedit.engine
from selfedit.cli import doctor
from selfedit.cli.estimates import Device
from selfedit.cli.main import main
from selfedit.recipes import RECIPES

Capture = pytest.CaptureFixture[str]
HERE = Device("this CPU", "cpu", 22e9, {"float32": 300.0})


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores and 22 GB."""
    found = {"device": "cpu", "dtype": "float32", "threads": 2, "free_gb": 22.0, "gflops": 300.0}
    monkeypatch.setattr(selfedit.engine, "measure_device", lambda: {**found, "gflops_bfloat16": 900.0})


def doctors(words: list[str], capsys: Capture) -> dict[str, object]:
    assert main(["doctor", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_the_demo_is_estimated_in_the_numbers_that_it_would_compute_in(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = doctors([], capsys)
    slow = {
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
        "free_gb": 22.0,
        "gflops": 300.0,
        "gflops_bfloat16": 150.0,
    }
    monkeypatch.setattr(selfedit.engine, "measure_device", lambda: slow)
    found = doctors([], capsys)
    assert fast["demo_minutes"] < found["demo_minutes"] and "hint" not in found  # type: ignore[operator]


def test_json_carries_facts_estimates_and_assumptions(capsys: Capture) -> None:
    found = doctors([], capsys)
    assert found["gflops"] == 300.0 and found["demo_minutes"] > 1 and 1 < found["demo_memory_gb"] < 4  # type: ignore[operator]
    assert "3.0 times as fast" in str(found["hint"])
    rows = found["estimates"]
    assert isinstance(rows, list)
    assert [(row["model"], row["device"]) for row in rows] == [
        (model, device) for model in ("135M", "1.5B", "7B") for device in ("this CPU", "24 GB GPU", "80 GB GPU")
    ]
    assert all(row["trials_at_once"] or row["hours_per_round"] is None for row in rows)
    assert str(found["assumptions"]).startswith("Estimates. Assumed:")


def test_flags_of_train_change_the_estimates(capsys: Capture) -> None:
    rows = [doctors(words, capsys)["estimates"][0] for words in ([], ["--bank", "4"], ["--contexts", "25"])]  # type: ignore[index]
    assert [row["trials_at_once"] for row in rows] == [8, 4, 8]
    assert rows[2]["hours_per_round"] == pytest.approx(rows[0]["hours_per_round"] / 2)


def test_a_named_model_is_the_only_one_and_brings_its_recipe(capsys: Capture) -> None:
    rows = doctors(["--model", "smollm2-135m"], capsys)["estimates"]
    assert isinstance(rows, list) and {row["model"] for row in rows} == {"smollm2-135m"} and len(rows) == 3
    assert rows[0]["bank_gb"] == pytest.approx(8 * 16 * 305_280 / 2 * 16 / 1e9)


def test_a_model_that_is_none_is_told_in_one_line(capsys: Capture, tmp_path: Path) -> None:
    assert main(["doctor", "--model", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "the folder has no config.json" in err and err.count("\n") == 1


def test_without_an_engine_only_gpus_are_estimated() -> None:
    assert {row.device for row in doctor.estimate_all(RECIPES["paper"], None)} == {"24 GB GPU", "80 GB GPU"}
    assert doctor.estimate_all(RECIPES["paper"], None, "some/model") == []


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_a_terminal_and_says_what_does_not_fit(width: int) -> None:
    text = io.StringIO()
    config = RECIPES["paper"]
    doctor.print_estimates(doctor.estimate_all(config, HERE), config, Console(file=text, width=width))
    lines = text.getvalue().splitlines()
    assert "Estimated: a round of 50 × 5 × 3 trials" in lines[1]
    [row] = [line for line in lines if line.lstrip().startswith("7B")]
    assert "does not" in row and row.rstrip().endswith("no")
    assert sum(" GPU  " in line for line in lines) == 6
    assert "Estimates. Assumed:" in " ".join(line.strip() for line in lines)
