"""What a step's memory accesses cost, on the simulated device: run with CUPYSIM_PROFILE=1.

Prints, as JSON, for each kernel of fastnn the counts of `cupysim.profile`, and for each line of the
source the sectors and wavefronts moved and needed.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from fastnn.kernels import cuda

from tests.helpers.gpu import Problem, cupy_backend, simulator

ALIGNED = [
    ([768, 64, 16], "uint8"),
    ([768, 64, 16], None),
    ([256, 128, 64, 32], None),
    ([128, 256, 128], None),
]
"""Networks whose rows begin at sectors, for batches of 128."""

BOOK = [([784, 50, 10], "uint8")]
"""The book's network, for batches of 100."""


def profile(networks: Any, batch: int, dtypes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Run one step of each network, and give what the profiler counted."""
    cupysim, backend = simulator(), cupy_backend()
    backend.products.by_cublas = lambda *_: False
    for dtype in dtypes:
        for sizes, data in networks:
            problem = Problem(sizes, batch, data=data or dtype)
            runner = backend.compile(problem.plan(backend, dtype))
            runner.run(backend.asarray(problem.rows[:1]), {"lr": 0.1})
    backend.synchronize()
    return [named(one) for one in cupysim.profile() if known(one["kernel"])]


def known(mangled: str) -> bool:
    match = re.match(r"_Z\d+([a-z_]+?)I", mangled)
    return match is not None and f"void {match[1]}(" in re.sub(
        r"__launch_bounds__\([^)]*\) ", "", "".join(cuda.source(file) for file in cuda.SOURCES)
    )


def named(one: dict[str, Any]) -> dict[str, Any]:
    """Name a kernel as in the source, with its template arguments."""
    name, arguments = re.match(r"_Z\d+([a-z_]+?)I([a-z]+)E", one["kernel"]).groups()  # type: ignore[union-attr]
    types = {"f": "float", "d": "double", "h": "unsigned char", "a": "signed char"}
    return {**one, "kernel": f"{name}<{', '.join(types[letter] for letter in arguments)}>"}


if __name__ == "__main__":
    which = sys.argv[1]
    if which == "book":
        print(json.dumps(profile(BOOK, 100, ("float32",))))
    else:
        print(json.dumps(profile(ALIGNED, 128, ("float32", "float64"))))
