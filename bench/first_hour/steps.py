"""How long a step takes: fused, by cuBLAS, and in PyTorch and JAX.

The contestants are those of ``bench/compare.py``, each in a process of its own that takes all
networks one after the other, and each is proven first: it comes to the parameters that plain
formulas come to. In TF32 it may not, which is said beside its time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

from contestants import CUDA_BOTH_WAYS
from first_hour.extent import Extent
from pinning import usable_processors
from proof import NotTheSameError
from race import LEAST_STEPS, Process, prove
from reference import reference
from workload import Array, Workload

RIVALS = (
    "torch", "torch-graph", "jax-scan", "torch-tf32", "torch-graph-tf32", "jax-scan-tf32",
    "jax-step", "torch-compile", "torch-compile-tf32",
)  # fmt: skip
"""Last those who compile for long: they have what the others leave of the time."""


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Give every contestant the same share of the time that is left."""
    until = time.monotonic() + seconds - 5
    failed: list[str] = []
    names = [*CUDA_BOTH_WAYS, *(RIVALS if extent.rivals else ())]
    for number, name in enumerate(names):
        share = max(1.0, (until - time.monotonic()) / (len(names) - number))
        rows = _times(name, _workloads(extent), extent.rounds, share)
        yield name, rows
        failed += [name for row in rows.values() if str(row).startswith("FAILED")]
    if failed:
        raise SystemExit(f"{', '.join(failed)} failed: see what was found, and what stands above")


def _workloads(extent: Extent) -> list[Workload]:
    return [
        Workload(sizes, batch, "mnist" if sizes[0] == 784 else "noise")
        for batch in extent.batches
        for sizes in extent.networks
    ]


def _times(name: str, workloads: list[Workload], rounds: int, seconds: float) -> dict[str, Any]:
    """Time a contestant at one workload after the other, until its time is up."""
    process = Process(name, workloads[0], len(usable_processors()), "cuda")
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    alarm = threading.Timer(seconds, end)
    alarm.start()
    times: dict[str, Any] = {}
    try:
        for workload in workloads:
            row = f"{workload.name}, batch {workload.batch}"
            try:
                times[row] = _row(process, workload, rounds)
            except (RuntimeError, BrokenPipeError, json.JSONDecodeError) as error:
                words = f"out of its {seconds:.0f} seconds" if late.is_set() else f"FAILED: {error}"
                times[row] = words
                break
    finally:
        alarm.cancel()
        process.close()
    return times


def _row(process: Process, workload: Workload, rounds: int) -> Any:
    reason = process.open(workload)
    if reason is not None:
        return f"SKIPPED: {reason}"
    process.workload = workload
    row: dict[str, Any] = {}
    try:
        row["error of the proof"] = prove(process, workload, _expected(workload))
    except NotTheSameError as error:
        row["not the same"] = str(error)
    steps = 20 * LEAST_STEPS if rounds > 1 else LEAST_STEPS
    turns = [process.ask("take_turn", steps=steps) for _ in range(rounds + 1)][1:]
    row["us a step"] = [1e6 * turn["seconds"] / turn["steps"] for turn in turns]
    if turns[0]["device_seconds"] is not None:
        row["us by CUDA events"] = [1e6 * turn["device_seconds"] / turn["steps"] for turn in turns]
    return row


@cache
def _expected(workload: Workload) -> dict[str, Array]:
    return reference(workload)
