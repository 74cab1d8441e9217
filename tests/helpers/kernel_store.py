"""A small kernel of its own in a store of its own, and processes that start together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numba
import numpy as np
from fastnn.kernels.cpu import compiler, machine_code

from fastnn import KernelCacheWarning

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float32", "float64", "complex128",
]  # fmt: skip
"""As many kinds of arguments of one kernel as processes start together."""

TAKE_ROWS = """
import sys, warnings
import numpy as np
warnings.simplefilter("error")
from fastnn.kernels.cpu.compiler import kernel
@kernel
def take_rows(x, rows, out):
    for n in range(len(rows)):
        for d in range(x.shape[1]):
            out[n, d] = x[rows[n], d]
for dtype in sys.argv[1:]:
    x = np.arange(12).reshape(4, 3).astype(dtype)
    rows, out = np.array([3, 0]), np.zeros((2, 3), dtype)
    take_rows(x, rows, out)
    assert np.array_equal(out, x[rows]), (dtype, out)
print(sum(take_rows.stats.cache_hits.values()))
"""
"""Calls one kernel with arrays of the dtypes in the arguments; prints how many were kept."""

WARNED_TAKE_ROWS = TAKE_ROWS.replace('warnings.simplefilter("error")', "")
"""The same where a warning is no error."""

LOSS = """
import json, sys, warnings
import numpy as np, fastnn
warnings.simplefilter("error")
fastnn.set_backend("numba", strict=True)
network = fastnn.TwoLayerNet(8, 4, 3, seed=0)
x, t = np.linspace(0, 1, 40, dtype="float32").reshape(5, 8), np.array([0, 2, 1, 1, 0])
print(json.dumps([float(network.loss(x, t.astype(dtype))) for dtype in sys.argv[1:]]))
"""
"""The loss by labels of the dtypes in the arguments."""

LABEL_DTYPES = ["uint8", "int32", "int64", "int8", "uint16"]


def small_kernel(store: machine_code.Store) -> Any:
    """Make a kernel, compiled or loaded when it is first called, as in a new process."""

    def double(x: Any) -> Any:
        return 2 * x

    dispatcher = numba.njit(**compiler.OPTIONS)(double)
    machine_code.keep_machine_code(dispatcher, store)
    return dispatcher


def right(store: machine_code.Store) -> list[str]:
    """Call the small kernel and give the warnings."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert small_kernel(store)(21) == 42
    assert all(warning.category is KernelCacheWarning for warning in found)
    return [str(warning.message) for warning in found]


def started(code: str, directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a process that keeps machine code in a directory."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(directory), "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("CUPYSIM", None)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def output(process: subprocess.Popen[str]) -> str:
    """Wait for a process that has to succeed and give what it printed."""
    printed, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return printed


def dtypes_together(directory: Path, processes: int) -> None:
    """Each process compiles the kernel for another dtype; later ones find them all, and right."""
    dtypes = DTYPES[:processes]
    for process in [started(TAKE_ROWS, directory, dtype) for dtype in dtypes]:
        output(process)
    assert output(started(TAKE_ROWS, directory, *dtypes)) == f"{processes}\n"


def losses_together(directory: Path, processes: int) -> None:
    """Losses by labels of several dtypes are the same in processes that start together."""
    dtypes = [LABEL_DTYPES[i % len(LABEL_DTYPES)] for i in range(processes)]
    together = [started(LOSS, directory, dtype) for dtype in dtypes]
    losses = {loss for process in together for loss in json.loads(output(process))}
    losses |= set(json.loads(output(started(LOSS, directory, *dtypes))))
    assert len(losses) == 1
    assert np.isfinite(losses.pop())


def killed(directory: Path, seconds: float) -> None:
    """A process is killed while it compiles; the next one has no trouble from that."""
    process = started(TAKE_ROWS, directory, "float32", "float64")
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    output(started(TAKE_ROWS, directory, "float32", "float64"))
