"""What is known of the CPU: its name, its memory, the threads of its matrix products."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor_name() -> str:
    """Name of the processor, as its maker calls it where the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def physical_memory() -> int | None:
    """Memory of the machine in bytes; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def matrix_product_threads() -> int | None:
    """Threads that the BLAS underneath NumPy uses; None where that cannot be found out."""
    import threadpoolctl

    pools = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    return max((int(pool["num_threads"]) for pool in pools), default=None)
