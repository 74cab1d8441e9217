"""What the tests on a CUDA device share."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.backends import Backend, selection
from fastnn.backends.loop import Loop
from fastnn.backends.numpy import NumpyBackend
from fastnn.backends.plan import StepPlan
from fastnn.errors import BackendUnavailableError
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.optimizers import SGD
from fastnn.nn.sequential import Sequential
from fastnn.training.planner import make_plan

BOUNDS = {"float64": 1e-12, "float32": 2e-6}

ROOT = Path(__file__).parents[2]
"""From where processes of their own import `tests`."""


def cupy_backend() -> Any:
    """Give the CuPy backend, or skip the test."""
    pytest.importorskip("cupy")
    try:
        return selection.load_backend("cupy")
    except BackendUnavailableError as error:
        pytest.skip(str(error))


def simulator() -> Any:
    """Give the simulated device's counters, or skip the test."""
    cupysim = pytest.importorskip("cupysim")
    if not cupysim.active():
        pytest.skip("CUPYSIM=1 is not set")
    return cupysim


class Problem:
    """A chain of Affine layers, a data set and the rows of some batches, the same for all."""

    def __init__(
        self, sizes: list[int], samples: int, *, data: str = "float32", relu: bool = True,
        seed: int = 0, scale: float = 1.0,
    ) -> None:  # fmt: skip
        generator = np.random.default_rng(seed)
        self.samples, self.relu, self.scale = samples, relu, scale
        high = {"uint8": 256, "int8": 127}.get(data, 256)
        x = generator.integers(0, high, (samples + 3, sizes[0]))
        x = np.where(generator.random(x.shape) < 0.5, 0, x)
        self.x = x.astype(data) if "int" in data else (x / 256).astype(data)
        self.t = generator.integers(0, sizes[-1], samples + 3)
        largest = scale * (256 if "int" in data else 1.0)
        self.parameters = []
        for i, (D, M) in enumerate(pairwise(sizes)):
            W = generator.standard_normal((D, M)) * np.sqrt(2 / D) / (largest if i == 0 else 1)
            b = 0.1 * generator.standard_normal(M)
            self.parameters.append((W.astype("float32"), b.astype("float32")))
        self.rows = np.stack([generator.permutation(samples + 3)[:samples] for _ in range(2)])

    def network(self, backend: Backend, dtype: str) -> Sequential:
        """Make the network on a backend."""
        with selection.use_backend(backend):
            layers: list[Any] = []
            for W, b in self.parameters:
                layers += [Affine(*(backend.asarray(array.astype(dtype)) for array in (W, b)))]
                layers += [Relu()] if self.relu else []
            return Sequential(layers[:-1] if self.relu else layers)

    def plan(self, backend: Backend, dtype: str) -> StepPlan:
        """Make the plan of a step on a backend."""
        x = backend.asarray(self.x, None if "int" in self.x.dtype.name else dtype)
        t = backend.asarray(self.t, "int64")
        network = self.network(backend, dtype)
        return make_plan(network, x, t, SGD(0.5), self.samples, self.scale)


def runner_of(cuda: Any, problem: Problem, *more: Any) -> Any:
    """Give the runner of a network; with layers behind the last Affine it is not a fused one."""
    network = problem.network(cuda, "float32")
    if more:
        network = Sequential([*network.layers.values(), *more])
    x, t = cuda.asarray(problem.x, "float32"), cuda.asarray(problem.t)
    return cuda.compile(make_plan(network, x, t, SGD(0.5), problem.samples))


def reference(problem: Problem, step: int = 0) -> dict[str, Any]:
    """One step in float64 by the formulas of `fastnn.backends.base`: activations and gradients."""
    base = NumpyBackend()
    rows = problem.rows[step]
    x, t = problem.scale * problem.x[rows].astype("float64"), problem.t[rows]
    inputs = [x]
    layers = [(W.astype("float64"), b.astype("float64")) for W, b in problem.parameters]
    for i, (W, b) in enumerate(layers):
        relu = problem.relu and i < len(layers) - 1
        inputs.append(base.affine(inputs[-1], W, b, relu=relu))
    losses, y = base.softmax_cross_entropy(inputs[-1], t)
    dout = base.softmax_cross_entropy_backward(y, t)
    douts = [dout]
    gradients: list[tuple[Any, Any]] = []
    for i in reversed(range(len(layers))):
        dx, dW, db = base.affine_backward(
            dout, inputs[i], layers[i][0], relu=problem.relu and i > 0, input_gradient=i > 0
        )
        gradients.insert(0, (dW, db))
        if i:
            dout = dx
            douts.insert(0, dout)
    return {
        "h": inputs[1:-1], "losses": losses, "loss": np.mean(losses), "dout": douts,
        "gradients": gradients,
    }  # fmt: skip


def errors_of_a_step(backend: Backend, problem: Problem, lr: float) -> dict[str, float]:
    """Give how far one step in float32 is from float64: its loss, and the update of each parameter.

    Relative to the largest entry of the update.
    """
    expected = reference(problem)
    plan = problem.plan(backend, "float32")
    names = [f"{letter}{i + 1}" for i in range(len(problem.parameters)) for letter in "Wb"]
    before = {name: backend.to_numpy(plan.arrays[name]).astype("float64") for name in names}
    runner = backend.compile(plan) or Loop(backend, plan)
    losses = runner.run(backend.asarray(problem.rows[:1]), {"lr": lr})
    loss = float(backend.to_numpy(losses)[0])
    errors = {"loss": abs(loss - expected["loss"]) / expected["loss"]}
    gradients = [gradient for pair in expected["gradients"] for gradient in pair]
    for name, gradient in zip(names, gradients, strict=True):
        now = backend.to_numpy(plan.arrays[name]).astype("float64")
        error = np.max(np.abs((before[name] - now) / lr - gradient))
        errors[name] = float(error / np.max(np.abs(gradient)))
    return errors


def check_errors_of_a_step(backend: Backend, problem: Problem, lr: float) -> None:
    """Hold a step against the float32 of NumPy: at most 4 times as far off, or 4 roundings."""
    ours = errors_of_a_step(backend, problem, lr)
    others = errors_of_a_step(selection.load_backend("numpy"), problem, lr)
    for name, error in ours.items():
        assert error <= 4 * max(others[name], float(np.finfo("float32").eps)), (
            name,
            error,
            others[name],
        )


def run_script(script: str, **environment: str) -> str:
    """Run Python code in a process of its own, with more environment; give what it printed."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def prints_the_same_in_any_order(code: str) -> None:
    """Hold what a script prints to the same text whatever order the simulated device takes."""
    simulator()
    expected = run_script(code)
    for setting in ("ORDER=1", "ORDER=2", "LAZY=1", "RACECHECK=1"):
        name, value = setting.split("=")
        assert run_script(code, **{f"CUPYSIM_{name}": value}) == expected, setting
