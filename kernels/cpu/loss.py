"""Softmax and cross-entropy: one sample after the other, each read from the cache but once.

``s = x - max(x)`` keeps every exponential in (0, 1]. The loss is ``log(sum(exp(s))) - s[t]``,
exact where ``y[t]`` itself would be rounded to zero, and cut at half the largest finite number,
for where ``s`` overflows. A label out of range, which the public edge refuses, gives NaN here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import kernel

Array = Any


@kernel
def _largest(row: Array) -> Any:
    largest = row[0]
    for c in range(1, row.shape[0]):
        if row[c] > largest or np.isnan(row[c]):
            largest = row[c]
    return largest


@kernel
def _exponentials(row: Array, y: Array) -> Any:
    """``y = exp(row - max(row))``; give ``max(row)`` and ``sum(y)``."""
    largest = _largest(row)
    total = row.dtype.type(0)
    for c in range(row.shape[0]):
        y[c] = np.exp(row[c] - largest)
        total += y[c]
    return largest, total


@kernel
def softmax(x: Array, y: Array) -> None:
    """``y = softmax(x)``, row by row. x, y (N, C)."""
    for n in range(x.shape[0]):
        _, total = _exponentials(x[n], y[n])
        for c in range(x.shape[1]):
            y[n, c] /= total


@kernel
def softmax_cross_entropy(x: Array, t: Array, losses: Array, y: Array) -> None:
    """``y = softmax(x)`` and ``losses = -log(y[t])``. x, y (N, C), t (N,), losses (N,)."""
    bound = np.finfo(x.dtype).max / 2
    for n in range(x.shape[0]):
        largest, total = _exponentials(x[n], y[n])
        label = t[n]
        if 0 <= label < x.shape[1]:
            loss = np.log(total) - (x[n, label] - largest)
            losses[n] = bound if loss > bound else loss
        else:
            losses[n] = np.nan
        for c in range(x.shape[1]):
            y[n, c] /= total


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

    The first of several equal ones counts, and NaN counts as the largest, as in ``numpy.argmax``.
    """
    correct = 0
    for n in range(scores.shape[0]):
        best = 0
        for c in range(1, scores.shape[1]):
            better = scores[n, c] > scores[n, best] or np.isnan(scores[n, c])
            if better and not np.isnan(scores[n, best]):
                best = c
        if best == t[n]:
            correct += 1
    return correct
