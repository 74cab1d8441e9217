"""Launchers of ``normalization.cu``: batch normalisation, and averages that follow batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.between import Between
from fastnn.kernels.cuda.loading import kernel, or_null
from fastnn.kernels.cuda.sizes import ENTRY_THREADS, NORMALIZATION, blocks_of

Array = Any


def _columns(count: int) -> tuple[tuple[int], tuple[int]]:
    """Give grid and block where one block does a few columns."""
    blocks = blocks_of(count, NORMALIZATION["NORM_COLUMNS"])
    return (blocks,), (NORMALIZATION["NORM_THREADS"],)


def _entries(count: int) -> tuple[tuple[int], tuple[int]]:
    """Give grid and block where one thread does one entry."""
    return (blocks_of(count, ENTRY_THREADS),), (ENTRY_THREADS,)


class Normalise:
    """``y = gamma * xn + beta``, ``xn = (x - mean) / std``, through what is between it and others.

    Parameters
    ----------
    between : Between
        What its output goes through.
    epsilon : float
        What is added to the variance.
    momentum : float, optional
        Of averages.
    """

    def __init__(self, dtype: str, between: Between, epsilon: float, momentum: float = 0.0) -> None:
        self._kernel = kernel("normalization", "batch_norm", dtype, between.type(dtype))
        self._between = between.record(dtype)
        number = np.dtype(dtype).type
        self._epsilon = number(epsilon)
        self._momentum = number(momentum), number(1 - momentum)

    def __call__(
        self, *, x: Array, gamma: Array, beta: Array, y: Array, xn: Array, std: Array, mean: Array,
        var: Array, N: int, b: Array | None = None, kept: Array | None = None,
        averages: tuple[Array | None, Array | None] = (None, None),
    ) -> None:  # fmt: skip
        """Launch it for N samples; y, xn and kept (N or more, D), the others (D,).

        x (splits, N, D) is a product in parts, to which b is added. `kept` is what the way back
        reads, if that is not y. `averages` of mean and variance follow.
        """
        D, splits = len(gamma), np.int32(len(x))
        addresses = list(map(or_null, (b, kept, *averages)))
        arguments = (
            x, splits, addresses[0], gamma, beta, self._epsilon, self._between, y, addresses[1],
            xn, std, mean, var, *addresses[2:], *self._momentum, np.int64(N), np.int64(D),
        )  # fmt: skip
        self._kernel(*_columns(D), arguments)


class NormaliseBackward:
    """Gradients of `Normalise`, back through what is between it and others first."""

    def __init__(self, dtype: str, between: Between) -> None:
        self._kernel = kernel("normalization", "batch_norm_backward", dtype, between.type(dtype))
        self._between = between.record(dtype)

    def __call__(
        self, *, dout: Array, kept: Array, gamma: Array, xn: Array, std: Array, dx: Array,
        dgamma: Array, dbeta: Array, N: int,
    ) -> None:  # fmt: skip
        """Launch it for N samples; dout, kept, xn and dx (N or more, D), the others (D,)."""
        D = len(gamma)
        arrays = dout, kept, self._between, gamma, xn, std, dx, dgamma, dbeta
        self._kernel(*_columns(D), (*arrays, np.int64(N), np.int64(D)))


def batch_norm(
    *, x: Array, gamma: Array, beta: Array, epsilon: float, y: Array, xn: Array, std: Array,
    mean: Array, var: Array,
) -> None:  # fmt: skip
    """``y = gamma * xn + beta``, ``xn = (x - mean) / std``; x, y, xn (N, D), the others (D,)."""
    normalise = Normalise(x.dtype.name, Between(), epsilon)
    of_units = {"gamma": gamma, "beta": beta, "std": std, "mean": mean, "var": var}
    normalise(x=x[None], y=y, xn=xn, **of_units, N=len(x))


def batch_norm_backward(
    *, dout: Array, gamma: Array, xn: Array, std: Array, dx: Array, dgamma: Array, dbeta: Array
) -> None:
    """Gradients of `batch_norm`; dout, xn, dx (N, D), the others (D,)."""
    arrays = {"gamma": gamma, "xn": xn, "std": std, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}
    NormaliseBackward(dout.dtype.name, Between())(dout=dout, kept=dout, **arrays, N=len(dout))


def batch_norm_evaluation(
    *, x: Array, gamma: Array, beta: Array, mean: Array, var: Array, epsilon: float, y: Array
) -> None:
    """``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``; x, y (N, D), the others (D,)."""
    small, sizes = x.dtype.type(epsilon), (np.int64(x.size), np.int64(x.shape[1]))
    launch = kernel("normalization", "batch_norm_evaluation", x.dtype.name)
    launch(*_entries(x.size), (x, gamma, beta, mean, var, small, y, *sizes))


def moving_average(*, average: Array, value: Array, momentum: float) -> None:
    """``average = momentum * average + (1 - momentum) * value`` in place, of any shape."""
    weights = [average.dtype.type(weight) for weight in (momentum, 1 - momentum)]
    launch = kernel("normalization", "moving_average", average.dtype.name)
    launch(*_entries(average.size), (average, value, *weights, np.int64(average.size)))
