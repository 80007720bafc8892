"""L0. What running out of memory looks like: of Python, the system, and torch, which need not be there."""

from __future__ import annotations

import errno

_TOLD = (
    "DefaultCPUAllocator: can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "bad allocation",
    "Cannot allocate memory",
    "failed to map segment from shared object",
    "CUDA out of memory",
    "CUDA error: out of memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether something could not allocate."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return any(told in str(error) for told in _TOLD)
