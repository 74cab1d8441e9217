"""Softmax and cross-entropy: one sample after the other, each read from the cache but once.

``s = x - max(x)`` keeps every exponential in (0, 1]. The loss is ``log(sum(exp(s))) - s[t]``,
exact where ``y[t]`` itself would be rounded to zero, and cut at half the largest finite number,
for where ``s`` overflows. A label out of range, which is refused before a kernel sees it,
gives NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import inline_kernel, kernel
from fastnn.kernels.cpu.exponential import exp
from fastnn.kernels.cpu.strips import narrow
from fastnn.kernels.cpu.sums import sum_in_place
from fastnn.kernels.cpu.vector import lanes, splat
from fastnn.kernels.cpu.vector_lanes import first_lane
from fastnn.kernels.cpu.vector_memory import load, store

Array = Any


@kernel
def softmax(x: Array, y: Array) -> None:
    """``y = softmax(x)``, row by row. x, y (N, C)."""
    _subtract_largest(x, y)
    _exponentials(y)
    for n in range(x.shape[0]):
        _divide_by_sum(y[n])


@kernel
def softmax_cross_entropy(x: Array, t: Array, losses: Array, y: Array) -> None:
    """``y = softmax(x)`` and ``losses = -log(y[t])``. x, y (N, C), t (N,), losses (N,)."""
    bound = np.finfo(x.dtype).max / 2
    _subtract_largest(x, y)
    for n in range(x.shape[0]):
        losses[n] = y[n, t[n]] if 0 <= t[n] < x.shape[1] else np.nan
    _exponentials(y)
    for n in range(x.shape[0]):
        loss = np.log(_divide_by_sum(y[n])) - losses[n]
        losses[n] = bound if loss > bound else loss


@kernel
def _subtract_largest(x: Array, y: Array) -> None:
    """``y = x - max(x)``, row by row, NaN counting as the largest."""
    for n in range(x.shape[0]):
        largest = x[n, 0]
        for c in range(1, x.shape[1]):
            # No "or" and no "if": where the largest stands cannot be guessed.
            larger = (x[n, c] > largest) | (x[n, c] != x[n, c])
            largest = x[n, c] if larger else largest
        for c in range(x.shape[1]):
            y[n, c] = x[n, c] - largest


@kernel
def _exponentials(y: Array) -> None:
    """``y = exp(y)``, as many at once as fit."""
    flat = y.reshape(-1)
    zero = narrow(flat)
    whole = flat.size // lanes(zero) * lanes(zero)
    for place in range(0, whole, lanes(zero)):
        store(flat, place, exp(load(zero, flat, place)))
    for place in range(whole, flat.size):
        flat[place] = first_lane(exp(splat(zero, flat[place])))


@kernel
def _divide_by_sum(y: Array) -> Any:
    total = y.dtype.type(0)
    for c in range(y.shape[0]):
        total += y[c]
    for c in range(y.shape[0]):
        y[c] /= total
    return total


@kernel
def mean(losses: Array, result: Array) -> None:
    """``result = sum(losses / N)``, added in float64. losses (N,), result ()."""
    result[()] = sum_in_place(losses / np.float64(losses.shape[0]), 0, losses.shape[0])


@kernel
def softmax_cross_entropy_backward(y: Array, t: Array, dx: Array) -> None:
    """``dx = (y - one_hot(t)) / N``. y, dx (N, C), t (N,)."""
    samples = y.dtype.type(y.shape[0])
    one = y.dtype.type(1)
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            dx[n, c] = (y[n, c] - one) / samples if c == t[n] else y[n, c] / samples


@kernel
def count_correct(scores: Array, t: Array) -> int:
    """Of how many samples the largest score (N, C) is that of the label t (N,).

    The first of several equal ones counts; see `is_above`.
    """
    correct = 0
    for n in range(scores.shape[0]):
        best = 0
        for c in range(1, scores.shape[1]):
            if is_above(scores[n, c], scores[n, best]):
                best = c
        if best == t[n]:
            correct += 1
    return correct


@inline_kernel
def is_above(score: Any, best: Any) -> Any:
    """Whether a score is larger than the largest before it, NaN being largest.

    So the first of several equal ones stays, and the first NaN, as in ``numpy.argmax``.
    """
    return (best == best) & (not score <= best)
