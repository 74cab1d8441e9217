"""The losses: one sample after the other, each read from the cache but once.

Of softmax ``s = x - max(x)`` keeps every exponential in (0, 1]. The loss is ``log(sum(exp(s))) -
s[t]``, exact where ``y[t]`` itself would be rounded to zero. A label out of range, which is refused
before a kernel sees it, gives NaN. Of sigmoid ``exp(-|x|)`` is in (0, 1] likewise. The losses that
are sums over the outputs are added in float64. Each is cut at half the largest finite number, for
where it overflows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import allocating_kernel, inline_kernel, inner_kernel, kernel
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


@inner_kernel
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


@inner_kernel
def _exponentials(y: Array) -> None:
    """``y = exp(y)``, as many at once as fit."""
    flat = y.reshape(-1)
    zero = narrow(flat)
    whole = flat.size // lanes(zero) * lanes(zero)
    for place in range(0, whole, lanes(zero)):
        store(flat, place, exp(load(zero, flat, place)))
    for place in range(whole, flat.size):
        flat[place] = first_lane(exp(splat(zero, flat[place])))


@inner_kernel
def _divide_by_sum(y: Array) -> Any:
    total = y.dtype.type(0)
    for c in range(y.shape[0]):
        total += y[c]
    for c in range(y.shape[0]):
        y[c] /= total
    return total


@allocating_kernel
def sigmoid_cross_entropy(x: Array, t: Array, losses: Array, y: Array) -> None:
    """``y = sigmoid(x)``, ``losses = sum(-t log(y) - (1 - t) log(1 - y))``. x, t, y (N, C)."""
    bound = np.finfo(x.dtype).max / 2
    zero, one = x.dtype.type(0), x.dtype.type(1)
    scores, labels, e = x.reshape(-1), t.reshape(-1), y.reshape(-1)
    for k in range(scores.size):
        e[k] = -abs(scores[k])
    _exponentials(y)
    parts = np.empty(scores.size, np.float64)
    for k in range(scores.size):  # no "if": which labels are missed cannot be guessed
        positive = scores[k] > zero
        missed = one - labels[k] if positive else labels[k]
        parts[k] = abs(scores[k]) * missed + logarithm_of_one_and(np.float64(e[k]))
        e[k] = (one if positive else e[k]) / (one + e[k])
    for n in range(x.shape[0]):
        loss = 0.0
        for k in range(n * x.shape[1], (n + 1) * x.shape[1]):
            loss += parts[k]
        losses[n] = bound if loss > bound else loss


@inline_kernel
def logarithm_of_one_and(e: Any) -> Any:
    """``log(1 + e)`` for e from 0 to 1, in float64.

    ``2 artanh(s)`` with ``s = e / (2 + e)``, at most 1/3, by its Taylor series, whose remainder is
    under a tenth of an ulp. Nothing but arithmetic, so that a loop of it becomes one of vectors.
    """
    s = e / (2.0 + e)
    series = 0.0
    for power in range(33, 0, -2):
        series = series * (s * s) + 1.0 / power
    return 2.0 * s * series


@kernel
def squared_error(x: Array, t: Array, losses: Array) -> None:
    """``losses = sum((x - t)**2) / 2``. x, t (N, C), losses (N,)."""
    bound = np.finfo(x.dtype).max / 2
    for n in range(x.shape[0]):
        loss = 0.0
        for c in range(x.shape[1]):
            difference = np.float64(x[n, c] - t[n, c])
            loss += difference * difference
        losses[n] = bound if loss / 2 > bound else loss / 2


@kernel
def difference_over_samples(y: Array, t: Array, dx: Array) -> None:
    """``dx = (y - t) / N``, the gradient of both losses. y, t, dx (N, C)."""
    samples = y.dtype.type(y.shape[0])
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            dx[n, c] = (y[n, c] - t[n, c]) / samples


@allocating_kernel
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
