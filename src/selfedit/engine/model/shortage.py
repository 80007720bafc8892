"""L1. What running out of memory looks like: torch on a GPU and on a CPU, Python, the system."""

from __future__ import annotations

import errno

import torch

_TOLD = (
    "DefaultCPUAllocator: can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "bad allocation",
    "Cannot allocate memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, Python or the system could not allocate."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return any(told in str(error) for told in _TOLD)
