"""L1. Where a model runs and in which numbers: what was asked for, or what suits the machine, and how fast that is."""

from __future__ import annotations

import time

import torch

from selfedit.engine.model import memory
from selfedit.errors import Field, SettingError
from selfedit.sizing import BANK


def choose_device(name: str) -> torch.device:
    """The named device, or the best there is."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SettingError(Field("device"), f" {name}: not available here") from error
    if device.type not in BANK:
        raise SettingError(Field("device"), f" {name}: not supported; use {' or '.join(BANK)}")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto`: bfloat16 on a GPU, float32 on a CPU. Adapters and their optimiser are float32 always."""
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
    if name in known:
        return known[name]
    if name != "auto":
        raise SettingError(Field("dtype"), f" {name}: known are auto, {', '.join(known)}")
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def limit_threads(count: int) -> None:
    """This process computes with so many threads."""
    torch.set_num_threads(count)


def is_rounding(name: str, device: torch.device) -> bool:
    """Whether texts are drawn with base weights of 8 bits: `int8`; `same`: with the model's own."""
    if name not in ("same", "int8"):
        raise SettingError(Field("write_dtype"), f" {name}: known are same and int8")
    if name == "int8" and device.type != "cpu":
        raise SettingError(Field("write_dtype"), f" int8: is for CPUs, not for {device.type}")
    if name == "int8" and not torch.backends.mkldnn.is_available():
        raise SettingError(Field("write_dtype"), " int8: this torch comes without oneDNN; use same")
    return name == "int8"


def measure_device() -> dict[str, float | str]:
    """What this machine can do: device, threads, free memory (GB), and the rate of large products (GFLOP/s) in the
    number type that `auto` stands for and, on a CPU, in bfloat16."""
    device = choose_device("auto")
    dtype = choose_dtype("auto", device)
    found: dict[str, float | str] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "dtype": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "free_gb": memory.free_bytes(device) / 1e9,
        "gflops": _product_gflops(device, dtype),
    }
    if dtype != torch.bfloat16:
        found["gflops_bfloat16"] = _product_gflops(device, torch.bfloat16)
    return found


def _product_gflops(device: torch.device, dtype: torch.dtype) -> float:
    size = 4096 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = min(_time_product(left, right) for _ in range(5))
    return 2 * size**3 / seconds / 1e9


def _time_product(left: torch.Tensor, right: torch.Tensor) -> float:
    started = time.perf_counter()
    (left @ right)[0, 0].item()
    return time.perf_counter() - started
