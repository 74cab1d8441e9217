"""Everybody who trains the network, each in a file of their own, written as their best user would.

What all have in common: the data set lies ready in the form that the library likes best, and so do
the numbers of the rows of each batch. A step gathers a batch, goes forward and backward, and
updates the parameters. Nobody computes an accuracy or reads a loss.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from workload import SEED, Array, Workload


@dataclass(frozen=True)
class Turn:
    """What a contestant did in its turn.

    Attributes
    ----------
    steps : float
        Training steps of a full batch.
    seconds : float
        Of the wall clock, until the last step was done.
    device_seconds : float or None
        The same by the device's own clock (CUDA events), where it has one.
    set_up_seconds : float or None
        What came before the first step and is paid once a training, where it is part of the call.
    """

    steps: float
    seconds: float
    device_seconds: float | None = None
    set_up_seconds: float | None = None


class Contestant:
    """A way to train the network of a `Workload`."""

    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float64")
    two_layers_only: ClassVar[bool] = False
    """Whether it is written for the book's network alone, two layers with ReLU under SGD."""

    plain_only: ClassVar[bool] = False
    """Whether it is written for ReLU under SGD, whatever the layers."""

    @classmethod
    def why_absent(cls, workload: Workload) -> str | None:
        """Say why this contestant cannot do the work; None if it can."""
        if workload.dtype not in cls.dtypes:
            return f"has no {workload.dtype}"
        if cls.two_layers_only and not workload.is_of_two_layers:
            return "is two layers with ReLU under SGD"
        if cls.plain_only and workload.parts:
            return "is ReLU under SGD"
        return None

    def __init__(self, workload: Workload, device: str) -> None:
        """Put data set and initial weights where they are used; `device` is "cpu" or "cuda"."""
        self.workload = workload
        self.device = device
        self.generator = np.random.default_rng(SEED + 1)

    def prepare(self, rows: Array) -> Any:
        """Bring the rows of each batch, (steps, batch) int64, to the library's form. Not timed."""
        return rows

    def run(self, rows: Any) -> float | None:
        """Take a step for each of the prepared rows, and wait until the last one is done.

        Returns the seconds by the device's own clock, if it has one.
        """
        raise NotImplementedError

    def parameters(self) -> dict[str, Array]:
        """Give ``W1 b1 W2 b2 ...`` as they are now: (D, H), (H,), (H, C), (C,), ..."""
        raise NotImplementedError

    def prove(self) -> dict[str, Array]:
        """Train on `Workload.proof_rows`, from the initial weights, and give the parameters."""
        self.run(self.prepare(self.workload.proof_rows()))
        return self.parameters()

    def take_turn(self, steps: int) -> Turn:
        """Train for about `steps` steps, and tell how long they took."""
        rows = self.prepare(self.workload.rows(steps, self.generator))
        started = time.perf_counter()
        device_seconds = self.run(rows)
        return Turn(steps, time.perf_counter() - started, device_seconds)

    def facts(self) -> dict[str, float]:
        """Tell what else was measured, once a race, outside the turns."""
        return {}


PEERS = {
    "book": "book:Book",
    "torch": "torch_eager:TorchEager",
    "torch-compile": "torch_compile:TorchCompile",
    "sklearn": "sklearn_mlp:Sklearn",
    "thinc": "thinc_chain:Thinc",
    "jax-step": "jax_step:JaxStep",
    "jax-scan": "jax_scan:JaxScan",
    "careful-numpy": "careful_numpy:CarefulNumpy",
}
FASTNN = {
    "fastnn-numpy": "fastnn_fit:FitNumpy",
    "fastnn-numba": "fastnn_fit:FitNumba",
    "fastnn-numpy-loop": "fastnn_loop:LoopNumpy",
    "fastnn-numba-loop": "fastnn_loop:LoopNumba",
}
CUDA_PEERS = {
    "torch": PEERS["torch"],
    "torch-compile": PEERS["torch-compile"],
    "torch-graph": "torch_graph:TorchGraph",
    "jax-step": PEERS["jax-step"],
    "jax-scan": PEERS["jax-scan"],
}
CUDA_FASTNN = {
    "fastnn-cupy": "fastnn_fit:FitCupy",
    "fastnn-cupy-loop": "fastnn_loop:LoopCupy",
}
CUDA_TF32 = {
    "torch-tf32": "torch_tf32:TorchTf32",
    "torch-compile-tf32": "torch_tf32:TorchCompileTf32",
    "torch-graph-tf32": "torch_tf32:TorchGraphTf32",
    "jax-scan-tf32": "jax_tf32:JaxScanTf32",
}
"""With products in TF32: ten bits of a factor's 23, which nobody else gives away."""

CUDA_BOTH_WAYS = {
    "fastnn-cupy-fused": "fastnn_both_ways:FitFused",
    "fastnn-cupy-cublas": "fastnn_both_ways:FitCublas",
}

PRODUCTS = {"products": "products:Products"}
"""Not a contestant but the floor: the matrix products of a step and nothing else."""

OPTIONAL = ("torch-compile", *CUDA_TF32, *CUDA_BOTH_WAYS)
"""Left out unless asked for by name: a minute of compiling, and no faster than eager on a CPU; what
is less precise; and what fastnn does where it is not faster."""


def registry(device: str) -> dict[str, str]:
    """Names of all contestants on "cpu" or "cuda", and where their classes are."""
    if device == "cpu":
        return {**PEERS, **FASTNN, **PRODUCTS}
    return {**CUDA_PEERS, **CUDA_FASTNN, **CUDA_TF32, **CUDA_BOTH_WAYS}


def contestant_class(name: str, device: str) -> type[Contestant]:
    """Import a contestant's class; ImportError if its library is not installed."""
    module, _, class_name = registry(device)[name].partition(":")
    found: type[Contestant] = getattr(importlib.import_module(f"contestants.{module}"), class_name)
    return found
