"""Running out of memory is told from other faults, whoever says so."""

from __future__ import annotations

import errno

import pytest
import torch

from selfedit.shortage import is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("std::bad_alloc"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_what_could_not_be_allocated_is_a_shortage(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("shape mismatch"), ImportError("torch")]
)
def test_other_faults_are_none(error: Exception) -> None:
    assert not is_out_of_memory(error)
