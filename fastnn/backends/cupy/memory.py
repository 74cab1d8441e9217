"""Out of device memory, said with numbers and with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

OUT_OF_MEMORY = 2
"""cudaErrorMemoryAllocation, which CuPy has no name for in Python."""


def free_bytes() -> int:
    """Bytes free on the current device: what CuPy's pool keeps counts, its limit is a limit."""
    import cupy

    pool = cupy.get_default_memory_pool()
    free = int(cupy.cuda.runtime.memGetInfo()[0] + pool.free_bytes())
    limit = pool.get_limit()
    return min(free, max(0, limit - pool.used_bytes())) if limit else free


@contextmanager
def explained(needed: int, what: str) -> Iterator[None]:
    """Turn CuPy's out-of-memory error into one with the bytes needed and free, and advice.

    Raises
    ------
    MemoryError
        If the body ran out of device memory.
    """
    import cupy

    try:
        yield
    except (cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError) as error:
        if getattr(error, "status", OUT_OF_MEMORY) != OUT_OF_MEMORY:
            raise
        total = cupy.cuda.runtime.memGetInfo()[1]
        device = cupy.cuda.runtime.getDevice()
        raise MemoryError(
            f"CUDA device {device} has no room for {what}: {needed:,} bytes needed, "
            f"{free_bytes():,} free of {total:,}. Take a smaller batch; keep the data set as "
            "uint8, which the kernels read as it is; or leave the data set on the host as a NumPy "
            "array: fit streams it from pinned memory if it does not fit. Other arrays and "
            "processes on the device count too (nvidia-smi; "
            "cupy.get_default_memory_pool().free_all_blocks())."
        ) from error
