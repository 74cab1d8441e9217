"""``fastnn bench``: which backend and how many threads are fastest here."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from fastnn.backends import available_backends
from fastnn.cli.options import DtypeOption, sizes
from fastnn.cli.output import say_aside
from fastnn.diagnostics.speed import MNIST_SHAPE, Measurement, best, measure_backends
from fastnn.system.standard_streams import is_terminal


def bench(
    layers: Annotated[
        str,
        typer.Option(
            help="Measure a network of these sizes: features, units of each hidden layer, classes.",
            metavar="SIZES",
        ),
    ] = "784,50,10",
    batch: Annotated[int, typer.Option(min=1, help="Take so many samples a step.")] = 100,
    dtype: DtypeOption = "float32",
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure this backend; may be repeated. By default all that can run are measured.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Measure for about so long.")] = 8.0,
    busy: Annotated[
        int,
        typer.Option(min=0, help="Keep so many cores busy meanwhile, as others do who share them."),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure which backend and how many threads train a network fastest on this machine.

    Prints a table with the time of a training step, the fastest first, and what to write into a
    script. Takes under 20 seconds unless a single step takes seconds.
    """
    units = sizes(layers, "--layers")
    data = "MNIST" if units[0] == MNIST_SHAPE[1] else "random numbers"
    title = f"{'-'.join(map(str, units))}, batch {batch}, {dtype}, on {data}"
    if busy:
        title += f", beside {busy} busy {'core' if busy == 1 else 'cores'}"
    if is_terminal(sys.stderr):
        say_aside(f"measuring {title} ...")
    rows = measure_backends(
        units, batch, dtype, backends=backend or None, seconds=seconds, busy_cores=busy
    )
    chosen = best(rows)
    if as_json:
        described = {
            "layers": units,
            "batch": batch,
            "dtype": dtype,
            "data": data,
            "busy_cores": busy,
            "measurements": [asdict(row) for row in rows],
            "best": asdict(chosen),
        }
        print(json.dumps(described, indent=2))
        return
    print(title)
    head = ("backend", "threads", "us a step", "fastest ... slowest", "samples/s")
    print("{:8} {:>7} {:>12} {:>27} {:>13}".format(*head))
    for row in rows:
        print(_line(row, row is chosen))
    for name, info in available_backends().items():
        if not info.usable and not backend:
            print(f"{name} was not measured: {info.reason}")
    print(_advice(chosen, rows))


def _line(row: Measurement, chosen: bool) -> str:
    threads = "" if row.threads is None else str(row.threads)
    spread = f"{row.fastest:,.1f} ... {row.slowest:,.1f}"
    line = f"{row.backend:8} {threads:>7} {row.microseconds:12,.1f} {spread:>27}"
    return f"{line} {row.samples_per_second:13,.0f}{'  <' if chosen else ''}"


def _advice(chosen: Measurement, rows: list[Measurement]) -> str:
    advice = f'fastnn.set_backend("{chosen.backend}")'
    tried = [row.threads for row in rows if row.backend == chosen.backend and row.threads]
    if chosen.threads is None or len(tried) < 2:
        return advice
    return f"{advice}; fastnn.set_num_threads({chosen.threads})"
