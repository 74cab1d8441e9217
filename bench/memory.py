"""How much memory `fit` takes on top of a data set that it is given as bytes.

    python bench/memory.py numba

In a process of its own, and on Linux: `ru_maxrss` of the standard library starts from what the
parent process used, so the kernel's own account of this process is read instead.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

KIB_IN_MIB = 1024


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
        take), ``fit`` (the peak of the process less what it used just before `fit`).
    """
    import fastnn
    from fastnn.datasets import load_mnist

    fastnn.set_backend(backend, strict=True)
    (x, t), _ = load_mnist(normalize=False)
    network = fastnn.TwoLayerNet(784, 50, 10, seed=0)
    optimizer = fastnn.SGD(1e-5)
    fastnn.fit(network, x[:1000], t[:1000], optimizer=optimizer, seed=0, progress=False)
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the peak is now what is used now
    before = _kib("VmRSS")
    fastnn.fit(network, x, t, optimizer=optimizer, seed=0, progress=False)
    return {
        "backend": backend,
        "data": x.nbytes / 2**20,
        "float32_copy": 4 * x.nbytes / 2**20,
        "fit": (_kib("VmHWM") - before) / KIB_IN_MIB,
    }


def _kib(entry: str) -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{entry}:"))


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
