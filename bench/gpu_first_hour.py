"""What a GPU that fastnn has not run on is asked first: is all right, and how fast is it.

    python bench/gpu_first_hour.py                 in under ten minutes, into build/first-hour/

It writes ``gpu.json`` and a page of the same, ``gpu.md``: device and driver, the floor of a launch,
a barrier of the grid, the time of each kernel, which graphs were captured, where cuBLAS takes over
(fastnn reads that from the user's directory of caches from then on), streaming, Ctrl-C, the tests
with an empty and a full cache of kernels, compute-sanitizer where it is installed, and step times
beside PyTorch and JAX where they are. A part that fails is reported, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from first_hour.page import page_of
from first_hour.parts import Part, run

PARTS = (
    Part("first_hour.device", "Device", 20),
    Part("first_hour.launches", "The floor of a launch", 20),
    Part("first_hour.barriers", "A barrier of the grid", 20),
    Part("first_hour.kernels", "Each kernel of a step", 40),
    Part("first_hour.graphs", "What was captured", 30),
    Part("first_hour.crossing", "Where cuBLAS takes over", 60),
    Part("first_hour.streaming", "Streaming", 30),
    Part("first_hour.interruption", "Ctrl-C", 30),
    Part("first_hour.suite", "The tests, with an empty and a full cache of kernels", 110),
    Part("first_hour.sanitizer", "compute-sanitizer", 60),
    Part("first_hour.steps", "A training step beside others", 160),
)
"""In the order of a page. The last ones have what is left of the time."""

SECONDS = 580.0

MEASURED = "measured"
UNKNOWN = "of unknown worth: the device did not say what it is"
VOID = "void: the device is a simulated one"


def first_hour(
    directory: Path,
    extent: str = "FULL",
    parts: Sequence[Part] = PARTS,
    seconds: float = SECONDS,
    say: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Measure all parts for so many seconds together, and write what was found.

    Parameters
    ----------
    directory : Path
        Where ``gpu.json`` and ``gpu.md`` are written, anew after each part.
    extent : {"FULL", "SMALL"}
        Which `first_hour.extent`.
    parts : sequence of Part, optional
        What is measured, in order.
    seconds : float, optional
        A part that would take longer than what is left of them is cut short.
    say : callable, optional
        Is told what goes on.

    Returns
    -------
    dict
        What is in ``gpu.json``.
    """
    until = time.monotonic() + seconds
    directory.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"extent": extent, "times": UNKNOWN, "parts": {}}
    for part in parts:
        left = until - time.monotonic()
        if left < 1:
            result: dict[str, Any] = {"title": part.title, "state": "no time left", "found": {}}
        else:
            say(f"{part.title}, for {min(part.seconds, left):.0f} s at most")
            result = run(part, extent, min(part.seconds, left))
        last_words = result.get("message", "").splitlines()[-1:]
        say(" ".join(["  " + result["state"], *last_words]))
        report["parts"][part.module.rpartition(".")[2]] = result
        if "simulated" in result["found"]:
            report["times"] = VOID if result["found"]["simulated"] else MEASURED
        (directory / "gpu.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        (directory / "gpu.md").write_text(page_of(report), "utf-8")
    return report


def main() -> int:
    """Read the command line; give 1 if a part failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root = Path(__file__).parents[1]
    parser.add_argument("--out", type=Path, default=root / "build" / "first-hour")
    parser.add_argument(
        "--small", action="store_true", help="a little of each, to see that it works"
    )
    options = parser.parse_args()
    report = first_hour(options.out, "SMALL" if options.small else "FULL")
    print(f"times: {report['times']}; written to {options.out / 'gpu.md'}")
    return int(any(part["state"] == "failed" for part in report["parts"].values()))


if __name__ == "__main__":
    sys.exit(main())
