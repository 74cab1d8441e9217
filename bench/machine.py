"""What the figures were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from typing import Any

from fastnn.backends.processor import physical_memory, processor_name

LIBRARIES = (
    "fastnn-backends", "numpy", "numba", "cupy-cuda12x", "cupy-cuda13x", "torch", "jax",
    "scikit-learn", "thinc",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Describe processor, system, libraries and the BLAS of NumPy; the GPU, if CuPy sees one."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "memory_gb": round((physical_memory() or 0) / 1e9),
        "gpu": _gpu(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "blas": _blas(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _blas() -> str:
    import numpy as np
    import threadpoolctl

    np.ones((2, 2)) @ np.ones((2, 2))
    pools = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    described = [
        f"{pool['internal_api']} {pool['version']} ({pool.get('architecture', 'unknown')} kernels)"
        for pool in pools
    ]
    return ", ".join(sorted(set(described))) or "unknown"


def _gpu() -> str | None:
    import fastnn

    info = fastnn.available_backends()["cupy"]
    return info.device if info.usable else None
