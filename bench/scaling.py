"""How the time of a step grows with the hidden layer and with the batch, and what `fit` needs.

    python bench/scaling.py                  about six minutes, into docs/benchmarks.md
    python bench/scaling.py --threads 2

A step of `fit` on MNIST, float32, beside two ceilings: the bare matrix products of the step at
their own shapes, and the same number of operations at the rate of one large product. On one
machine, in one process, so that nothing but the size changes along a curve.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from contestants.products import Products
from fastnn.diagnostics.speed import limited_to, measure_backends
from figure import draw_scaling
from machine import describe_machine
from memory import memory_of_fit
from pinning import cores, hold_to
from report import machine_lines, replaced, table
from workload import Workload

RESULTS = Path(__file__).parent.parent / "docs" / "benchmarks"
HIDDEN = [1 << i for i in range(4, 13)]
BATCHES = [1 << i for i in range(14)]
BACKENDS = ("numpy", "numba")
FLOOR = "bare products"
FLOOR_SECONDS = 0.3


def main() -> None:
    """Measure, draw, write."""
    options = _parser().parse_args()
    hold_to(cores(options.threads))
    hidden = [Workload((784, size, 10), 100) for size in HIDDEN]
    batches = [Workload((784, 50, 10), size) for size in BATCHES]
    with limited_to(options.threads):
        large = Products(Workload(), "cpu").facts()["large_product_gflops"]
    measured: dict[str, Any] = {
        "machine": describe_machine(),
        "threads": options.threads,
        "large_product_gflops": large,
        "hidden": _sweep(hidden, HIDDEN, "784-H-10, batch 100", options),
        "batch": _sweep(batches, BATCHES, "784-50-10", options),
        "memory": [memory_of_fit(backend) for backend in BACKENDS],
    }
    for one in measured["memory"]:
        print(f"fit on {one['backend']} took {one['fit']:.0f} MiB beside {one['data']:.0f} of data")
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "scaling.json").write_text(json.dumps(measured, indent=1) + "\n", "utf-8")
    draw_scaling(measured, RESULTS / "scaling.svg")
    document = RESULTS.parent / "benchmarks.md"
    document.write_text(
        replaced(document.read_text("utf-8"), "scaling", _section(measured)), "utf-8"
    )


def _sweep(
    workloads: list[Workload], sizes: list[int], title: str, options: argparse.Namespace
) -> list[dict[str, Any]]:
    points = []
    for workload, size in zip(workloads, sizes, strict=True):
        rows = measure_backends(
            workload.layers, workload.batch, backends=BACKENDS, seconds=options.seconds
        )
        microseconds = {
            row.backend: [row.fastest, row.microseconds, row.slowest]
            for row in rows
            if row.threads == options.threads
        }
        with limited_to(options.threads):
            microseconds[FLOOR] = _floor(workload)
        print(f"{title}, {size}: {_line(microseconds)}", flush=True)
        points.append(
            {
                "title": f"{title}, {options.threads} thread{'s'[: options.threads > 1]}",
                "size": size,
                "flops": workload.flops,
                "microseconds": microseconds,
            }
        )
    return points


def _floor(workload: Workload) -> list[float]:
    products = Products(workload, "cpu")  # which looks at how many rows there are, not at them
    steps = 1 + int(FLOOR_SECONDS * 1e6 / 3 / _microseconds(lambda: products.run(np.zeros(1)), 1))
    turns = [_microseconds(lambda: products.run(np.zeros(steps)), steps) for _ in range(3)]
    return sorted(turns)


def _microseconds(function: Callable[[], object], steps: int) -> float:
    started = time.perf_counter()
    function()
    return 1e6 * (time.perf_counter() - started) / steps


def _line(microseconds: dict[str, list[float]]) -> str:
    return ", ".join(f"{name} {median(some):.0f} us" for name, some in microseconds.items())


def _section(measured: dict[str, Any]) -> str:
    parts = [
        machine_lines(measured["machine"]),
        "![](benchmarks/scaling.svg)",
        f"A large product runs at {measured['large_product_gflops']:.0f} GFLOP/s here, on "
        f"{measured['threads']} thread{'s'[: measured['threads'] > 1]}.",
        *(_table(measured[swept], head) for swept, head in _HEADS.items()),
        _memory_lines(measured["memory"]),
    ]
    return "\n\n".join(parts)


_HEADS = {"hidden": "hidden units, batch 100", "batch": "batch, 50 hidden units"}


def _table(points: list[dict[str, Any]], head: str) -> str:
    names = list(dict.fromkeys(name for point in points for name in point["microseconds"]))
    names.sort(key=[*BACKENDS, FLOOR].index)
    lines = [[head, *(f"{name}, us a step" for name in names)], ["---:"] * (1 + len(names))]
    for point in points:
        times = (f"{median(point['microseconds'][name]):.1f}" for name in names)
        lines.append([str(point["size"]), *times])
    return table(lines)


def _memory_lines(memory: Iterable[dict[str, Any]]) -> str:
    took = ", ".join(f"{one['fit']:.0f} MiB on {one['backend']}" for one in memory)
    first = next(iter(memory))
    return (
        f"Peak memory: on the 60,000 images as bytes ({first['data']:.0f} MiB) `fit` took at most "
        f"{took} on top. A copy in float32 would be {first['float32_copy']:.0f} MiB."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="of measuring a size; default: 8"
    )
    return parser


if __name__ == "__main__":
    main()
