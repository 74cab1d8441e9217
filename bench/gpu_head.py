"""How long a row takes in `head`, by width and by who shares the work: computed, not measured.

    PYTHONPATH=. python bench/gpu_head.py

prints a table of docs/gpu.md. What binds this kernel is no rate but one thing waiting for another:
trips to memory that begin when the one before has ended, and multiply-adds of a lane that follow
each other. It counts both, for a batch of 100, 10 classes, float32, on an H100, with two rows a
block. Needs no GPU.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

from fastnn.kernels.cuda.head import slices
from fastnn.kernels.cuda.sizes import WARP, blocks_of

from fastnn.backends.cupy.products import Products
from peak_rates import DEVICES

TRIP = 0.5
"""Microseconds of one to memory, in round numbers."""

MULTIPLY_ADD = (30 + 4 * 4) / 4
"""Cycles in a loop unrolled by four: a load from shared memory takes about 30, each addition 4."""

N, FEATURES, CLASSES, ROWS = 100, 784, 10, 2
UNITS, PARTS, WEIGHTS = 2, 16, 8
"""What `head` has under way together in a thread."""


class Waits(NamedTuple):
    """Of a row: trips to memory and multiply-adds that follow each other."""

    trips: int
    multiply_adds: int


def one_by_one(M: int, parts: int) -> Waits:
    """One warp; each number of W by itself, 8 parts of each unit, the label at the end."""
    lanes = blocks_of(M, WARP)
    W = blocks_of(M * CLASSES, ROWS * WARP)
    return Waits(1 + W + lanes * blocks_of(parts, 8) + 2, M + lanes * CLASSES)


def in_groups(M: int, parts: int) -> Waits:
    """One warp; numbers in groups, the label while scores are summed."""
    return _shared(M, parts, 1, blocks_of(M, WARP) * WARP)


def by_several_warps(M: int, parts: int) -> Waits:
    """As `head` does it."""
    return _shared(M, parts, *slices(M))


def by_several_blocks(M: int, parts: int) -> Waits:
    """A tile of 64 units a block; the one that arrives last adds scores up and goes back.

    A tile's scores are written before it says that it has arrived; the last block reads them, and
    needs all of W for the way back.
    """
    tiles = blocks_of(M, 64)
    if tiles == 1:
        return in_groups(M, parts)
    tile = _shared(64, parts, 1, 64)
    W = blocks_of(M * CLASSES, ROWS * WARP * WEIGHTS)
    return Waits(tile.trips + 2 + 1 + W, 64 + tiles + blocks_of(M, WARP) * CLASSES)


def _shared(M: int, parts: int, warps: int, depth: int) -> Waits:
    groups = blocks_of(min(M, depth), UNITS * WARP) * blocks_of(parts, PARTS)
    W = blocks_of(M * CLASSES, ROWS * warps * WARP * WEIGHTS)
    depth = min(M, depth)
    others = warps - 1  # whose scores are added up
    return Waits(groups + W, depth + others + blocks_of(depth, WARP) * CLASSES)


def table() -> str:
    """Make the table."""
    device = DEVICES[-1]
    sizes: Any = SimpleNamespace(multiprocessors=device.multiprocessors)
    ways = {
        "one warp a row, number by number": one_by_one,
        "one warp a row": in_groups,
        "several warps a row": by_several_warps,
        "several blocks a row": by_several_blocks,
    }
    lines = [
        "| hidden units | parts | " + " | ".join(ways) + " |",
        "|---" * (2 + len(ways)) + "|",
    ]
    for M in (50, 128, 256, 512):
        parts = Products.slices(sizes, N, FEATURES, M)[0]
        cells = []
        for way in ways.values():
            waits = way(M, parts)
            cycles = MULTIPLY_ADD * waits.multiply_adds
            time = TRIP * waits.trips + cycles / device.clock / 1e3
            cells.append(f"{waits.trips}, {waits.multiply_adds}: {time:.1f}")
        lines.append(f"| {M} | {parts} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
