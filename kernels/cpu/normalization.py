"""Batch normalisation: two passes over the batch for its sums, one for the result.

The sums over the samples are made in sections; see `fastnn.kernels.cpu.sums`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import allocating_kernel, inner_kernel, kernel
from fastnn.kernels.cpu.sums import RUN

Array = Any


@inner_kernel
def mean_of_rows(x: Array, section: Array, mean: Array) -> None:
    """``mean = sum(x, axis=0) / N``. x (N, D), mean (D,); `section` is room, too."""
    samples = x.dtype.type(x.shape[0])
    mean[:] = 0
    for begin in range(0, x.shape[0], RUN):
        section[:] = 0
        for n in range(begin, min(begin + RUN, x.shape[0])):
            for d in range(x.shape[1]):
                section[d] += x[n, d]
        for d in range(x.shape[1]):
            mean[d] += section[d]
    for d in range(x.shape[1]):
        mean[d] /= samples


@allocating_kernel
def normalise(x: Array, epsilon: float, xn: Array, std: Array, mean: Array, var: Array) -> None:
    """``xn = (x - mean) / std``. x, xn (N, D), the others (D,).

    A mean is rounded as coarsely as it is large. So what is left of it in ``x - mean`` is summed as
    well, and taken off (Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115).
    """
    zero, small = x.dtype.type(0), x.dtype.type(epsilon)
    samples = x.dtype.type(x.shape[0])
    rest = np.zeros_like(mean)
    in_rest, in_var = np.empty_like(mean), np.empty_like(mean)
    mean_of_rows(x, in_rest, mean)
    var[:] = 0
    for begin in range(0, x.shape[0], RUN):
        in_rest[:] = 0
        in_var[:] = 0
        for n in range(begin, min(begin + RUN, x.shape[0])):
            for d in range(x.shape[1]):
                xc = x[n, d] - mean[d]
                in_rest[d] += xc
                in_var[d] += xc * xc
        for d in range(x.shape[1]):
            rest[d] += in_rest[d]
            var[d] += in_var[d]
    for d in range(x.shape[1]):
        rest[d] /= samples
        square = var[d] / samples - rest[d] * rest[d]
        var[d] = zero if square < zero else square
        std[d] = np.sqrt(var[d] + small)
    for n in range(x.shape[0]):
        for d in range(x.shape[1]):
            xn[n, d] = (x[n, d] - mean[d] - rest[d]) / std[d]
    for d in range(x.shape[1]):
        mean[d] += rest[d]


@kernel
def scale_and_shift(xn: Array, gamma: Array, beta: Array, y: Array) -> None:
    """``y = gamma * xn + beta``. xn, y (N, D), the others (D,)."""
    for n in range(xn.shape[0]):
        for d in range(xn.shape[1]):
            y[n, d] = gamma[d] * xn[n, d] + beta[d]


@allocating_kernel
def batch_norm_evaluation(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, epsilon: float
) -> None:
    """``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``. x, y (N, D), the others (D,)."""
    std = np.sqrt(var + x.dtype.type(epsilon))
    for n in range(x.shape[0]):
        for d in range(x.shape[1]):
            y[n, d] = gamma[d] * ((x[n, d] - mean[d]) / std[d]) + beta[d]


@allocating_kernel
def batch_norm_backward(
    dout: Array, gamma: Array, xn: Array, std: Array, dx: Array, dgamma: Array, dbeta: Array
) -> None:
    """The gradients of `batch_norm`. dout, xn, dx (N, D), the others (D,)."""
    samples = dout.dtype.type(dout.shape[0])
    in_dgamma, in_dbeta = np.empty_like(dgamma), np.empty_like(dbeta)
    dgamma[:] = 0
    dbeta[:] = 0
    for begin in range(0, dout.shape[0], RUN):
        in_dgamma[:] = 0
        in_dbeta[:] = 0
        for n in range(begin, min(begin + RUN, dout.shape[0])):
            for d in range(dout.shape[1]):
                in_dgamma[d] += dout[n, d] * xn[n, d]
                in_dbeta[d] += dout[n, d]
        for d in range(dout.shape[1]):
            dgamma[d] += in_dgamma[d]
            dbeta[d] += in_dbeta[d]
    along, mean, scale = dgamma / samples, dbeta / samples, gamma / std
    for n in range(dout.shape[0]):
        for d in range(dout.shape[1]):
            dx[n, d] = scale[d] * (dout[n, d] - mean[d] - xn[n, d] * along[d])


@kernel
def moving_average(average: Array, value: Array, momentum: float) -> None:
    """``average = momentum * average + (1 - momentum) * value``; both (K,)."""
    kept, new = average.dtype.type(momentum), average.dtype.type(1 - momentum)
    for k in range(average.shape[0]):
        average[k] = kept * average[k] + new * value[k]
