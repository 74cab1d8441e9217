"""The tile of the first layer's dense products: four rows of a wide strip, or six of a narrow one.

With AVX-512 a tile of `fastnn.kernels.cpu.dense`, 4 rows by 64 columns, fills sixteen of 32
registers, and leaves the rest to a row of the strip. With sixteen registers of half the width,
4 rows by 16 columns take eight: each row of the strip and each number of the other factor that is
loaded then serves too few multiplications. Six rows take twelve, and 24 of NEON's 32. Compiled for
AVX2, one core, float32, GFLOP/s of 96, 4 rows and 6: 784-50 at batch 100 85 and 92 forward, 89 and
90 backward; 784-512 at batch 128 81 and 89, 81 and 87. A whole step of either, by turns with a tile
of four (2026-11-26), takes 8 to 12 % less time in float32 and float64. The layers behind the first,
whose strips are cut into fours, keep the tile of four.
"""

from __future__ import annotations

from typing import Any

from fastnn.kernels.cpu import dense
from fastnn.kernels.cpu.activations import activate
from fastnn.kernels.cpu.compiler import inline_kernel
from fastnn.kernels.cpu.strips import STRIP_BYTES, TILE_BYTES
from fastnn.kernels.cpu.vector import add, fma, splat
from fastnn.kernels.cpu.vector_memory import at, load, store

Array = Any
FOUR = TILE_BYTES == STRIP_BYTES
TALL = dense.ROWS if FOUR else 6
"""Rows of the tile."""


@inline_kernel
def _four_of(row: Any) -> Any:
    return row, row, row, row


@inline_kernel
def _six_of(row: Any) -> Any:
    return row, row, row, row, row, row


@inline_kernel
def _multiply_six(tile: Any, A: Any, B: Any, depth: int) -> Any:
    """See `dense.multiply`."""
    t0, t1, t2, t3, t4, t5 = tile
    four = (t0, t1, t2, t3)
    a, b = A.offset, B.offset
    for _ in range(depth):
        line = load(t4, B.array, b)
        four = dense.take_step(four, A.array, a, A.row, line)
        t4 = fma(splat(t4, at(A.array, a + 4 * A.row)), line, t4)
        t5 = fma(splat(t5, at(A.array, a + 5 * A.row)), line, t5)
        a += A.step
        b += B.step
    t0, t1, t2, t3 = four
    return t0, t1, t2, t3, t4, t5


@inline_kernel
def _activate_six(tile: Any, net: Any, layer: Any, place: int, outputs: int) -> Any:
    """See `dense.activate_tile`."""
    t0, t1, t2, t3, t4, t5 = tile
    t0, t1, t2, t3 = dense.activate_tile((t0, t1, t2, t3), net, layer, place, outputs)
    t4 = activate(t4, net, layer, place + 4 * layer.strip_width, outputs)
    t5 = activate(t5, net, layer, place + 5 * layer.strip_width, outputs)
    return t0, t1, t2, t3, t4, t5


@inline_kernel
def _store_six(tile: Any, memory: Array, place: int, row: int) -> None:
    """See `dense.store_tile`."""
    t0, t1, t2, t3, t4, t5 = tile
    dense.store_tile((t0, t1, t2, t3), memory, place, row)
    store(memory, place + 4 * row, t4)
    store(memory, place + 5 * row, t5)


@inline_kernel
def _add_six(tile: Any, memory: Array, place: int, row: int, factor: Any) -> None:
    """See `dense.add_tile`."""
    t0, t1, t2, t3, t4, t5 = tile
    dense.add_tile((t0, t1, t2, t3), memory, place, row, factor)
    f = splat(t4, factor)
    place += 4 * row
    store(memory, place, fma(f, t4, load(t4, memory, place)))
    place += row
    store(memory, place, fma(f, t5, load(t5, memory, place)))


@inline_kernel
def _load_six(zero: Any, memory: Array, place: int, row: int) -> Any:
    """See `dense.load_tile`."""
    t0, t1, t2, t3 = dense.load_tile(zero, memory, place, row)
    t4, t5 = load(zero, memory, place + 4 * row), load(zero, memory, place + 5 * row)
    return t0, t1, t2, t3, t4, t5


@inline_kernel
def _sum_of_six(one: Any, other: Any) -> Any:
    """See `dense.sum_of_tiles`."""
    a0, a1, a2, a3, a4, a5 = one
    b0, b1, b2, b3, b4, b5 = other
    t0, t1, t2, t3 = dense.sum_of_tiles((a0, a1, a2, a3), (b0, b1, b2, b3))
    return t0, t1, t2, t3, add(a4, b4), add(a5, b5)


rows_of = _four_of if FOUR else _six_of
"""A tile whose rows are all this one."""
multiply = dense.multiply if FOUR else _multiply_six
activate_tile = dense.activate_tile if FOUR else _activate_six
store_tile = dense.store_tile if FOUR else _store_six
add_tile = dense.add_tile if FOUR else _add_six
load_tile = dense.load_tile if FOUR else _load_six
sum_of_tiles = dense.sum_of_tiles if FOUR else _sum_of_six
