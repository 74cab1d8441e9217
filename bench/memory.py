"""How much memory `fit` takes on top of a data set that it is given as bytes.

    python bench/memory.py numba

In a process of its own, because the high-water mark of a process never falls.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

MIB = 2**20
KIB = 1024
"""`ru_maxrss` counts kibibytes on Linux."""


def memory_of_fit(backend: str) -> dict[str, Any]:
    """Measure in a new process; see `measure` for what it gives."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, backend],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def measure(backend: str) -> dict[str, Any]:
    """Train for an epoch on MNIST's 60,000 images as uint8, in this process.

    Returns
    -------
    dict
        In MiB: ``data`` (the images as they came), ``float32_copy`` (what a copy in float32 would
        take), ``fit`` (the peak of the process less what it used just before `fit`). If loading
        had the higher peak, ``fit`` is what it took at most.
    """
    import fastnn
    from fastnn.datasets import load_mnist

    fastnn.set_backend(backend, strict=True)
    (x, t), _ = load_mnist(normalize=False)
    network = fastnn.TwoLayerNet(784, 50, 10, seed=0)
    optimizer = fastnn.SGD(1e-5)
    fastnn.fit(network, x[:1000], t[:1000], optimizer=optimizer, seed=0, progress=False)
    before = _resident()
    fastnn.fit(network, x, t, optimizer=optimizer, seed=0, progress=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    return {
        "backend": backend,
        "data": x.nbytes / MIB,
        "float32_copy": 4 * x.nbytes / MIB,
        "fit": (peak - before) / MIB,
    }


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
