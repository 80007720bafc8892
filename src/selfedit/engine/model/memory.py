"""L1. How much is done at once: sized from free memory, and halved where the estimate was too bold.

An estimate, not a promise: what a layer keeps for its backward pass differs between families, so that only half of the
free memory is planned with. When memory runs out nevertheless, the engine halves and does the same work again; every
piece of work is pure and seeded, so that nothing but last digits depends on it.
"""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from selfedit import sizing
from selfedit.engine.model.shapes import shape_of
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.shortage import is_out_of_memory

T = TypeVar("T")
_MALLOPT_TRIM_THRESHOLD, _MALLOPT_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_MOST_ROWS = {"cpu": 64, "cuda": 256}
"""Texts written together: on a GPU the cost of a step hardly grows with its rows."""
_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


@dataclass(slots=True)
class Sizes:
    """How much is done at once. Bounds memory, not results."""

    slots: int
    """Adapters trained together."""
    pack_tokens: int
    """Most tokens in one forward pass (a longer sequence goes alone)."""
    rows: int = 64
    """Texts written together."""
    is_recomputed: bool = False
    """Layers run again in the backward pass instead of keeping what they made (gradient checkpointing)."""

    def halve(self) -> bool:
        """Half of everything, and recomputation where there is nothing left to halve; False when that is on already."""
        if self.slots == self.rows == 1 and self.pack_tokens <= sizing.FEWEST_TOKENS:
            self.is_recomputed, was_on = True, self.is_recomputed
            return not was_on
        self.slots, self.rows = max(1, self.slots // 2), max(1, self.rows // 2)
        self.pack_tokens = max(sizing.FEWEST_TOKENS, self.pack_tokens // 2)
        return True


def plan_sizes(model: Any, wanted_slots: int, slot_width: int, free: int | None = None) -> Sizes:
    """Sizes for `model` on its device, by `sizing.plan`.

    Args:
        wanted_slots: no more slots than these.
        slot_width: weights of an adapter per rank.
        free: bytes to plan with; None for what is free now.
    """
    bytes_free = free_bytes(model.device) if free is None else free
    shape, kind = shape_of(model, {"all": slot_width}), model.device.type
    planned = sizing.plan(shape, kind, model.dtype.itemsize, wanted_slots, bytes_free)
    return Sizes(planned.slots, planned.pack_tokens, _MOST_ROWS[kind], planned.is_recomputed)


def free_bytes(device: torch.device) -> int:
    """Bytes that could be had now: on the GPU, or in RAM within the process's cgroup."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    bounds = [_available_ram()]
    for limit, used in _CGROUP:
        try:
            bounds.append(int((_CGROUPS / limit).read_text()) - int((_CGROUPS / used).read_text()))
        except (OSError, ValueError):
            continue
    return max(0, min(bounds))


def _available_ram() -> int:
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def within_memory(sizes: Sizes, work: Callable[[], T], tidy: Callable[[], None]) -> T:
    """What `work` returns; where it runs out of memory, `tidy` gives back what it can, sizes halve, and it runs again.

    Raises:
        SelfeditError: memory runs out also with everything at its smallest.
    """
    while True:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).strip().split("\n")[0][:120]
        tidy()
        if not sizes.halve():
            raise SelfeditError(f"out of memory with one adapter at a time ({reason}); shorten the data or free memory")
        logging.getLogger("selfedit").warning(
            "out of memory: going on with %d adapters and %d tokens at a time", sizes.slots, sizes.pack_tokens
        )


@contextmanager
def told(model: str) -> Iterator[None]:
    """Running out of memory while a model is loaded, as one line.

    Raises:
        SettingError: it did.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        told = f" {model}: out of memory while it was loaded; free memory, take a smaller model, or "
        raise SettingError(Field("model"), told, Field("dtype"), " bfloat16") from error


def keep_freed_memory() -> None:
    """Let glibc keep what torch frees. Otherwise every large tensor is returned to the system, and its next use pays
    for fresh pages again. Elsewhere than on glibc, nothing happens."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_MALLOPT_MMAP_THRESHOLD, 32 * 2**20)
    mallopt(_MALLOPT_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory(device: torch.device) -> None:
    """Give the system what torch has freed and kept, so that `free_bytes` sees it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return
