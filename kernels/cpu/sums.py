"""Sums over the samples of a batch: in sections, and rounded to a parameter only once.

A product of one sample is tiny beside the parameter that it changes. Added to it directly, each is
rounded as coarsely as the parameter itself, and so is the sum of all of them as many times as there
are samples. So a sum has a place of its own, where it begins with zero, and reaches the parameter
when it is whole: the update is then as exact as ``W -= lr * dW``.

A sum of 60,000 numbers in a row has the same fault: the last ones are rounded as coarsely as the
whole. So no sum is longer than `SECTION` samples, and most are shorter; the sums of sections are
added in turn. That is how a BLAS does it, which cuts the depth of a product for the sake of its
cache (OpenBLAS each 384). Where a batch is cut depends on its size alone, and so do the bits.
"""

from __future__ import annotations

from typing import Any

from fastnn.kernels.cpu.compiler import inner_kernel
from fastnn.kernels.cpu.strips import narrow
from fastnn.kernels.cpu.vector import add, lanes
from fastnn.kernels.cpu.vector_memory import load, store

Array = Any

SECTION = 512
"""Samples that are added up in memory before their sum is added to that of the others."""

RUN = 128
"""Likewise in registers, where that costs next to nothing."""


@inner_kernel
def hand_over(memory: Array, source: int, target: int, count: int) -> None:
    """``target += source; source = 0`` for `count` numbers, whole rows of a strip."""
    zero = narrow(memory)
    for n in range(0, count, lanes(zero)):
        total = add(load(zero, memory, target + n), load(zero, memory, source + n))
        store(memory, target + n, total)
        store(memory, source + n, zero)


@inner_kernel
def sum_in_place(memory: Array, place: int, count: int) -> Any:
    """The sum of `count` numbers, at least one, halves added to halves; nothing is left of them."""
    while count > 1:
        half = (count + 1) // 2
        for n in range(count - half):
            memory[place + n] += memory[place + half + n]
        count = half
    return memory[place]
