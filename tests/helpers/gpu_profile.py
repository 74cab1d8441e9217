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


WIDE = [([784, 512, 10], None)]
"""A network whose time is that of its products, for batches of 128."""


INSTRUCTIONS = ("fma32", "fma64", "float", "other", "global", "shared", "barrier", "atomic")
"""Kinds that the profiler counts, by the thread."""

SAMPLED_BLOCKS = 4
"""Of how many blocks of a launch it keeps the memory accesses."""

SECTOR = 32
"""Bytes that global memory moves at once."""


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
    """Name a kernel as in the source, with its template arguments that are numbers."""
    number = r"10NeighboursI[fdha]Li\d+EE|[fdha]"
    name, arguments = re.match(rf"_Z\d+([a-z_]+?)I((?:{number})+)", one["kernel"]).groups()  # type: ignore[union-attr]
    types = {"f": "float", "d": "double", "h": "unsigned char", "a": "signed char"}
    named = []
    for argument in re.findall(number, arguments):
        some = re.match(r"10NeighboursI(.)Li(\d+)", argument)
        named.append(f"Neighbours<{types[some[1]]}, {some[2]}>" if some else types[argument])
    return {**one, "kernel": f"{name}<{', '.join(named)}>"}


def for_each_multiply_add(one: dict[str, Any]) -> tuple[float, float, float]:
    """Give what a warp's multiply-add costs: shared wavefronts, instructions, global bytes."""
    warps = (one["fma32"] + one["fma64"]) / 32
    cost = {"shared": 0.0, "global": 0.0}
    for access in one["accesses"]:
        cost[access["space"]] += access["cost"] * one["blocks"] / min(one["blocks"], SAMPLED_BLOCKS)
    instructions = sum(one[kind] for kind in INSTRUCTIONS) / 32
    return cost["shared"] / warps, instructions / warps, SECTOR * cost["global"] / warps


if __name__ == "__main__":
    which = sys.argv[1]
    networks, batch, dtypes = {
        "book": (BOOK, 100, ("float32",)),
        "wide": (WIDE, 128, ("float32", "float64")),
        "aligned": (ALIGNED, 128, ("float32", "float64")),
    }[which]
    print(json.dumps(profile(networks, batch, dtypes)))
