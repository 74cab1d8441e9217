"""One row of the table: every contestant in a process of its own, by turns, round after round.

Before anything is timed each contestant proves that it trains what it claims to: from the same
initial weights over the same batches all must come to the parameters of the book's code in
float64. Whoever does not ends the race with an error.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from contestants.book import Book
from pinning import pinned
from workload import Array, Workload

TOLERANCE = {"float32": 5e-3, "float64": 1e-9}
"""Of a parameter after the proof's steps, relative to the largest change that they made to it.

An activation at the kink of ReLU may fall to the other side in float32 than in float64, which moves
one unit by 0.05 % at 784-2048-10; a step left out is 5 %."""

LOSS_TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
"""Of the loss then, relative."""

LEAST_STEPS = 20
"""Steps of a turn, and what they are a multiple of: `jax_scan` compiles for it."""

TURN_SECONDS = 0.5
"""About how long a turn is, apart from `fit`'s, which is a whole epoch."""

REST = 0.1
"""Seconds between two turns: the thread pools of OpenBLAS and OpenMP spin for a while."""

Say = Callable[[str], object]


class NotTheSameError(Exception):
    """A contestant does not train what the others train: its time means nothing."""


class Process:
    """The other end of `serve`."""

    def __init__(self, name: str, workload: Workload, threads: int, device: str) -> None:
        self.name = name
        double = "1" if workload.dtype == "float64" else "0"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).parent / "serve.py"), name, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **pinned(threads, JAX_ENABLE_X64=double),
        )

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: its error stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def open(self, workload: Workload) -> str | None:
        """Have the contestant made; if it cannot take part, return why."""
        reason: str | None = self.ask("open", workload=dataclasses.asdict(workload)).get("absent")
        return reason

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def race(
    workload: Workload, threads: int, names: Iterable[str], rounds: int, device: str, say: Say
) -> dict[str, Any]:
    """Measure one row.

    Returns
    -------
    dict
        ``contestants``: by name the microseconds a step of every round, and what else a `Turn`
        tells; ``absent``: who could not take part, and why.

    Raises
    ------
    NotTheSameError
        If a contestant's parameters are not those of the book's code.
    """
    say(f"{workload.name} batch {workload.batch}, {threads} threads, {workload.data}, "
        f"{workload.dtype}")  # fmt: skip
    racing: dict[str, Process] = {}
    absent: dict[str, str] = {}
    try:
        expected = reference(workload)
        for name in names:
            process = Process(name, workload, threads, device)
            racing[name] = process
            reason = process.open(workload)
            if reason is not None:
                absent[name] = reason
                racing.pop(name).close()
                say(f"  {name} {absent[name]}")
            elif name != "products":
                error = prove(process, workload, expected)
                say(f"  {name} trains right: error {error:.1e}")
        steps = {name: _steps_of_a_turn(process) for name, process in racing.items()}
        facts = {name: process.ask("facts") for name, process in racing.items()}
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in racing}
        for _ in range(rounds):
            for name, process in racing.items():
                time.sleep(REST)
                turns[name].append(process.ask("take_turn", steps=steps[name]))
    finally:
        for process in racing.values():
            process.close()
    contestants = {name: {**_summary(taken), **facts[name]} for name, taken in turns.items()}
    for name, summary in contestants.items():
        say(f"  {name}: {median(summary['microseconds']):.0f} us")
    return {
        "layers": list(workload.layers),
        "batch": workload.batch,
        "data": workload.data,
        "dtype": workload.dtype,
        "threads": threads,
        "device": device,
        "flops": workload.flops,
        "contestants": contestants,
        "absent": absent,
    }


def reference(workload: Workload) -> dict[str, Array]:
    """Train by the book's code in float64: what everybody must come to."""
    return Book(workload, "cpu").prove()


def check_the_same(
    name: str, found: dict[str, Array], expected: dict[str, Array], workload: Workload
) -> float:
    """Return the largest error of a contestant's parameters, relative to their largest change.

    Raises
    ------
    NotTheSameError
        If it, or the loss by these parameters, is over the bound, or the loss has not fallen.
    """
    bound = TOLERANCE["float64" if name == "book" else workload.dtype]
    initial = workload.initial()
    errors = {
        key: float(np.max(np.abs(found[key] - right)) / np.max(np.abs(right - initial[key])))
        for key, right in expected.items()
    }
    worst = max(errors, key=lambda key: np.nan_to_num(errors[key], nan=np.inf))
    if not errors[worst] <= bound:
        raise NotTheSameError(
            f"{name}: {worst} is off by {errors[worst]:.1e}, the bound is {bound:.0e}"
        )
    first, right, last = (loss(some, workload) for some in (initial, expected, found))
    if not (last < first and abs(last - right) <= LOSS_TOLERANCE[workload.dtype] * right):
        raise NotTheSameError(
            f"{name}: the loss went from {first:.6f} to {last:.6f}, not {right:.6f}"
        )
    return errors[worst]


def loss(parameters: dict[str, Array], workload: Workload) -> float:
    """Mean cross-entropy of the first 1000 samples, in float64."""
    x, t = workload.x[:1000].astype("float64"), workload.t[:1000]
    W1, b1, W2, b2 = (parameters[key].astype("float64") for key in ("W1", "b1", "W2", "b2"))
    scores = np.maximum(x @ W1 + b1, 0) @ W2 + b2
    scores -= scores.max(axis=1, keepdims=True)
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(t)), t]
    return float(losses.mean())


def prove(process: Process, workload: Workload, expected: dict[str, Array]) -> float:
    """Have a contestant train on the proof's batches, and check what it comes to."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "parameters.npz"
        process.ask("prove", path=str(path))
        with np.load(path) as parameters:
            return check_the_same(process.name, dict(parameters), expected, workload)


def _steps_of_a_turn(process: Process) -> int:
    process.ask("take_turn", steps=LEAST_STEPS)  # compiles, where something is compiled
    turn = process.ask("take_turn", steps=LEAST_STEPS)
    times: float = TURN_SECONDS * turn["steps"] / turn["seconds"] / LEAST_STEPS
    return LEAST_STEPS * max(1, round(times))


def _summary(turns: list[dict[str, Any]]) -> dict[str, Any]:
    summary = {"microseconds": [1e6 * turn["seconds"] / turn["steps"] for turn in turns]}
    if turns[0]["device_seconds"] is not None:
        summary["device_microseconds"] = [
            1e6 * turn["device_seconds"] / turn["steps"] for turn in turns
        ]
    if turns[0]["set_up_seconds"] is not None:
        summary["set_up_seconds"] = [turn["set_up_seconds"] for turn in turns]
    return summary
