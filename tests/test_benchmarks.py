"""The benchmark for GPUs: it runs on a CPU too, and where little is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
LITTLE = """
import sys
for name in "pydantic tyro gguf llguidance rich matplotlib".split():
    sys.modules[name] = None
import torch
import gpu
engine = gpu.TorchEngine(gpu.LoadedModel(
    gpu.random_model(gpu.CONFIGS["tiny"](), torch.device("cpu"), torch.float32), gpu.random_tokenizer(), "tiny", ""))
job = gpu.warm_up(gpu.made_up_study(0, 512, gpu.TrainingConfig(rank=2)))
[result] = engine._train([job])
print(result.steps, result.failure, sys.modules["pydantic"])
"""


def run(*command: str) -> str:
    paths = os.pathsep.join(map(str, (ROOT / "src", BENCHMARKS)))
    environment = os.environ | {"PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=True, env=environment
    ).stdout


@pytest.mark.model
def test_the_gpu_benchmark_trains_where_only_torch_transformers_and_peft_are_installed() -> None:
    assert run("-c", LITTLE).split() == ["3", "None"]


@pytest.mark.slow
def test_the_gpu_benchmark_measures_everything_on_a_cpu_too(tmp_path: Path) -> None:
    script, out = str(BENCHMARKS / "gpu.py"), tmp_path / "gpu.json"
    flags = "--shapes tiny --device cpu --banks 1,2,4 --rows 1,16 --timed-epochs 1 --json".split()
    found = json.loads(run(script, *flags, "--out", str(out)))
    assert found == json.loads(out.read_text())
    assert not found["failed"] and not found["not_run"]
    tiny = found["shapes"]["tiny"]
    assert {"parameters", "dtype", "matmul_gflops", "peft", "written_seconds"} <= set(tiny)
    assert set(tiny["bank"]) == {"1", "2", "4"}
    figures = {"studies_per_second", "speedup_vs_peft", "matmul_share", "peak_gb", "seconds_per_self_edit"}
    assert all(figures <= set(one) for one in tiny["bank"].values())
    decoded = tiny["decoded_tokens_per_second"]
    assert set(decoded["decoder"]) == set(decoded["generate"]) == {"1", "16"}


@pytest.mark.slow
def test_sections_beyond_the_budget_are_listed() -> None:
    flags = "--shapes tiny --device cpu --banks 1 --rows 1 --budget 0 --json".split()
    found = json.loads(run(str(BENCHMARKS / "gpu.py"), *flags))
    assert found["not_run"] == [f"tiny {name}" for name in "model,bank 1,peft,writing,decoder 1,generate 1".split(",")]
