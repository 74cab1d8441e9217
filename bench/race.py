"""One row of the table: every contestant in a process of its own, by turns, round after round.

Before anything is timed each contestant proves that it trains what it claims to: from the same
initial weights over the same batches all must come to the parameters that plain formulas come to in
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

from pinning import pinned
from proof import NotTheSameError, check_the_same, proven_workloads
from reference import reference
from workload import Array, Workload

LEAST_STEPS = 20
"""Steps of a turn, and what they are a multiple of: `jax_scan` compiles for it."""

TURN_SECONDS = 0.5
"""About how long a turn is, apart from `fit`'s, which is a whole epoch."""

REST = 0.1
"""Seconds between two turns: the thread pools of OpenBLAS and OpenMP spin for a while."""

Say = Callable[[str], object]


class Process:
    """The other end of `serve`."""

    def __init__(self, name: str, workload: Workload, threads: int, device: str) -> None:
        self.name, self.workload, self.threads, self.device = name, workload, threads, device
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

    def kill(self) -> None:
        """End the process at once; whoever waits for an answer gets a RuntimeError."""
        self._process.kill()

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
        If a contestant's parameters are not those of `reference`.
    """
    say(", ".join([workload.name, *workload.parts, f"batch {workload.batch}",
                   f"{threads} threads", workload.data, workload.dtype]))  # fmt: skip
    racing: dict[str, Process] = {}
    absent: dict[str, str] = {}
    try:
        proofs = [(proven, reference(proven)) for proven in proven_workloads(workload)]
        for name in names:
            process = Process(name, workload, threads, device)
            racing[name] = process
            reason = process.open(workload)
            if reason is not None:
                absent[name] = reason
                racing.pop(name).close()
                say(f"  {name} {absent[name]}")
            elif name != "products":
                errors = [prove(process, *proof) for proof in proofs]
                say(f"  {name} trains right: error {', '.join(f'{e:.1e}' for e in errors)}")
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
        "parts": workload.parts,
        "batch": workload.batch,
        "data": workload.data,
        "dtype": workload.dtype,
        "threads": threads,
        "device": device,
        "flops": workload.flops,
        "contestants": contestants,
        "absent": absent,
    }


def prove(process: Process, workload: Workload, expected: dict[str, Array]) -> float:
    """Have a contestant train on the proof's batches, and check what it comes to.

    It does so in a process of its own where the workload is not what `process` was opened for.
    """
    if workload != process.workload:
        other = Process(process.name, workload, process.threads, process.device)
        try:
            reason = other.open(workload)
            if reason is not None:
                raise NotTheSameError(f"{process.name} {reason}, in which it is to be proven")
            return prove(other, workload, expected)
        finally:
            other.close()
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
