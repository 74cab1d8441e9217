"""fastnn beside PyTorch, JAX, scikit-learn, thinc, NumPy by hand and the book's own code.

    pip install -e '.[compare]'
    python bench/compare.py                          every row, into docs/benchmarks.md
    python bench/compare.py --row 784-50-10 --threads 1 --data mnist --dtype float32
    python bench/compare.py --row adam --row batch-normalisation     other parts of a network
    python bench/compare.py --row scripts            whole scripts and start-up, as processes
    python bench/compare.py --device cuda            on a GPU, beside PyTorch and JAX there

A row is a network and batch size, a number of threads, a data set and a dtype. Every contestant
runs in a process of its own, on as many cores as it has threads, and they take turns; so what
disturbs the machine disturbs all, and ratios are taken within a round. `torch-compile` takes part
if named by ``--contestants``. The book's network is measured in three sizes on both data sets and
in both dtypes; the rows of other activations, layers and optimizers on one, unless ``--dtype`` says
so. With ``--docs`` single rows replace their old figures there.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

from contestants import OPTIONAL, registry
from machine import describe_machine
from pinning import usable_processors
from race import race
from report import key_of, print_row, write_docs
from scripts import race_scripts
from workload import PARTS, ROWS, SIZES, Workload

RESULTS = Path(__file__).parent.parent / "docs" / "benchmarks"
DATA, DTYPES = ["mnist", "noise"], ["float32", "float64"]


def main() -> None:
    """Run the rows that were asked for."""
    options = _parser().parse_args()
    usable = len(usable_processors())
    if options.threads is None:
        options.threads = [1, 2][:usable] if options.device == "cpu" else [usable]
    results: dict[str, Any] = {"machine": describe_machine(), "rows": [], "scripts": {}}
    every_row = not options.row
    documented = options.docs or every_row
    files = [options.json] if options.json else []
    files += [RESULTS / f"compare-{options.device}.json"] if documented else []
    for workload, threads in _rows(options):
        names = options.contestants or [n for n in registry(options.device) if n not in OPTIONAL]
        row = race(workload, threads, names, options.rounds, options.device, _say)
        row["date"] = results["machine"]["date"]
        print_row(row)
        results["rows"].append(row)
        _keep(files, results)
    if options.device == "cpu" and (every_row or "scripts" in options.row):
        for threads in options.threads:
            results["scripts"][str(threads)] = race_scripts(threads, options.rounds, _say)
            _keep(files, results)
    if documented:
        write_docs(RESULTS)


def _rows(options: argparse.Namespace) -> list[tuple[Workload, int]]:
    asked = options.row or ROWS
    sizes = itertools.product(
        options.data or DATA, options.dtype or DTYPES, [name for name in SIZES if name in asked]
    )
    workloads = [
        dataclasses.replace(SIZES[name], data=data, dtype=dtype) for data, dtype, name in sizes
    ]
    workloads += [
        dataclasses.replace(PARTS[name], dtype=dtype)
        for name in PARTS
        if name in asked and PARTS[name].data in (options.data or DATA)
        for dtype in options.dtype or [PARTS[name].dtype]
    ]
    return list(itertools.product(workloads, options.threads))


def _keep(files: list[Path], results: dict[str, Any]) -> None:
    """Write the results, among those that a file has of other rows on the same machine."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(_merged(file, results), indent=1) + "\n", "utf-8")


def _merged(file: Path, results: dict[str, Any]) -> dict[str, Any]:
    kept = json.loads(file.read_text("utf-8")) if file.exists() else None
    same = ("processor", "cores", "gpu")
    if kept is None or any(kept["machine"][e] != results["machine"][e] for e in same):
        kept = {"rows": [], "scripts": {}}
    new = {key_of(row) for row in results["rows"]}
    rows = [row for row in kept["rows"] if key_of(row) not in new] + results["rows"]
    return {
        "machine": results["machine"],
        "rows": sorted(rows, key=key_of),
        "scripts": {**kept["scripts"], **results["scripts"]},
    }


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--row", action="append", choices=[*ROWS, "scripts"], help="may be given several times")
    add("--threads", type=int, nargs="+", help="default: 1 2; for a GPU all cores")
    add("--data", nargs="+", choices=DATA)
    add("--dtype", nargs="+", choices=DTYPES)
    add("--rounds", type=int, default=5, help="turns of each contestant; default: 5")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--contestants", nargs="+", metavar="NAME", help="only these, of: "
        + ", ".join(dict.fromkeys([*registry("cpu"), *registry("cuda")])))  # fmt: skip
    add("--json", type=Path, help="write the figures to this file")
    add(
        "--docs",
        action="store_true",
        help="put the figures into docs/benchmarks.md",
    )
    return parser


if __name__ == "__main__":
    main()
