"""Batch normalisation of a layer's output, which lies in strips, with the activation behind it.

A unit's mean and variance need all samples of the batch, so threads own units here: a vector of
columns is read from the first sample to the last, three times on the way forward and twice on the
way back, while it stays in the first-level cache. The sums are made as in
`fastnn.kernels.cpu.normalization`; see there for what is left of a mean.

The layer leaves ``x @ W + b`` in ``out``; its record names no activation. Here ``out`` becomes what
the next layer reads, and ``xn`` is kept for the way back, which changes gamma, beta and the running
averages as well: before the first meeting of a step nothing may be changed that lasts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.activations import activate_backward_by, activate_by
from fastnn.kernels.cpu.compiler import inline_kernel, inner_kernel
from fastnn.kernels.cpu.net import row_of
from fastnn.kernels.cpu.rules import apply_to_bias
from fastnn.kernels.cpu.sums import RUN
from fastnn.kernels.cpu.vector import (
    add,
    divide,
    fma,
    lanes,
    largest,
    magnitude,
    multiply,
    splat,
    square_root,
    subtract,
)
from fastnn.kernels.cpu.vector_lanes import largest_lane
from fastnn.kernels.cpu.vector_memory import at, load, store

Array = Any

NORMALISATION = np.dtype(
    [
        (name, np.int64)
        for name in (
            "is_there", "activation", "gamma", "beta", "xn", "inverse_std", "mean", "var",
            "running_mean", "running_var", "numbers",
        )
    ]
)  # fmt: skip
"""The record of a layer's normalisation: where in the network's memory what is.

is_there : 1, or 0 where a layer is not normalised
activation : the number of that which stands behind, see `fastnn.kernels.cpu.net.LAYER`
gamma, beta, inverse_std, mean, var, running_mean, running_var : a number for each column
xn : laid out like ``out``
numbers : the momentum, one minus the momentum, and what is added to a variance
"""


@inner_kernel
def normalise(zero: Any, net: Any, number: int, vectors: Any, samples: int) -> None:
    """``out = activation(gamma * xn + beta)``, for a range of vectors of a layer's columns."""
    memory, layer, own = net.memory, net.layers[number], net.normalisations[number]
    width, N = layer.strip_width, splat(zero, samples)
    epsilon = splat(zero, at(memory, own.numbers + 2))
    for vector in range(vectors[0], vectors[1]):
        column = vector * lanes(zero)
        out = row_of(net, layer.out, layer, column // width, 0) + column % width
        xn_behind_out = own.xn - layer.out
        mean = divide(_sum(zero, memory, out, width, samples), N)
        rest, squares = _deviations(zero, memory, out, width, samples, mean)
        rest = divide(rest, N)
        var = largest(subtract(divide(squares, N), multiply(rest, rest)), zero)
        inverse_std = divide(splat(zero, 1), square_root(add(var, epsilon)))
        store(memory, own.mean + column, add(mean, rest))
        store(memory, own.var + column, var)
        store(memory, own.inverse_std + column, inverse_std)
        gamma = load(zero, memory, own.gamma + column)
        beta = load(zero, memory, own.beta + column)
        for n in range(samples):
            place = out + n * width
            xc = subtract(subtract(load(zero, memory, place), mean), rest)
            xn = multiply(xc, inverse_std)
            store(memory, place + xn_behind_out, xn)
            y = fma(gamma, xn, beta)
            y = activate_by(own.activation, y, net, layer, place, layer.outputs - column)
            store(memory, place, y)


@inner_kernel
def normalise_backward(
    zero: Any, net: Any, number: int, vectors: Any, samples: int, factor: Any, rule: Any
) -> Any:
    """``dout = factor`` times the gradient by the layer's sums, from that by its output.

    For a range of vectors of its columns; their gamma, beta and running averages are updated. Gives
    the largest magnitude in dout, or NaN.
    """
    memory, layer, own = net.memory, net.layers[number], net.normalisations[number]
    width, N = layer.strip_width, splat(zero, samples)
    peak = zero
    for vector in range(vectors[0], vectors[1]):
        column = vector * lanes(zero)
        place = row_of(net, layer.out, layer, column // width, 0) - layer.out + column % width
        dgamma, dbeta = _back_through_activation(zero, net, number, place, samples)
        inverse_std = load(zero, memory, own.inverse_std + column)
        scale = multiply(load(zero, memory, own.gamma + column), inverse_std)
        scale = multiply(splat(zero, factor), scale)
        mean, slope = divide(dbeta, N), divide(dgamma, N)
        for n in range(samples):
            dout = layer.dout + place + n * width
            xn = load(zero, memory, own.xn + place + n * width)
            dx = subtract(subtract(load(zero, memory, dout), mean), multiply(xn, slope))
            dx = multiply(scale, dx)
            peak = largest(peak, magnitude(dx))
            store(memory, dout, dx)
        apply_to_bias(rule, net, own.gamma + column, dgamma)
        apply_to_bias(rule, net, own.beta + column, dbeta)
        _follow(zero, memory, own.running_mean + column, own.mean + column, own.numbers)
        _follow(zero, memory, own.running_var + column, own.var + column, own.numbers)
    return largest_lane(peak)


@inline_kernel
def _sum(zero: Any, memory: Array, place: int, width: int, samples: int) -> Any:
    """The sum of the samples, every other one by itself: an addition takes four cycles."""
    total = zero
    for begin in range(0, samples, RUN):
        end = min(begin + RUN, samples)
        even, odd = zero, zero
        for n in range(begin, end - 1, 2):
            even = add(even, load(zero, memory, place + n * width))
            odd = add(odd, load(zero, memory, place + (n + 1) * width))
        if (end - begin) & 1:
            even = add(even, load(zero, memory, place + (end - 1) * width))
        total = add(total, add(even, odd))
    return total


@inline_kernel
def _deviations(zero: Any, memory: Array, place: int, width: int, samples: int, mean: Any) -> Any:
    """The sum of ``x - mean``, of which rounding leaves something, and that of its squares."""
    rest, squares = zero, zero
    for begin in range(0, samples, RUN):
        end = min(begin + RUN, samples)
        even, odd, even_squares, odd_squares = zero, zero, zero, zero
        for n in range(begin, end - 1, 2):
            xc = subtract(load(zero, memory, place + n * width), mean)
            even, even_squares = add(even, xc), fma(xc, xc, even_squares)
            xc = subtract(load(zero, memory, place + (n + 1) * width), mean)
            odd, odd_squares = add(odd, xc), fma(xc, xc, odd_squares)
        if (end - begin) & 1:
            xc = subtract(load(zero, memory, place + (end - 1) * width), mean)
            even, even_squares = add(even, xc), fma(xc, xc, even_squares)
        rest = add(rest, add(even, odd))
        squares = add(squares, add(even_squares, odd_squares))
    return rest, squares


@inline_kernel
def _back_through_activation(zero: Any, net: Any, number: int, place: int, samples: int) -> Any:
    """The sums of ``dout * xn`` and of dout, this being that by ``gamma * xn + beta`` now."""
    memory, layer, own = net.memory, net.layers[number], net.normalisations[number]
    width = layer.strip_width
    along, total = zero, zero
    for begin in range(0, samples, RUN):
        in_along, in_total = zero, zero
        for n in range(begin, min(begin + RUN, samples)):
            row = place + n * width
            dout = load(zero, memory, layer.dout + row)
            dout = activate_backward_by(own.activation, dout, net, layer, layer.out + row)
            store(memory, layer.dout + row, dout)
            in_along = fma(dout, load(zero, memory, own.xn + row), in_along)
            in_total = add(in_total, dout)
        along, total = add(along, in_along), add(total, in_total)
    return along, total


@inline_kernel
def _follow(zero: Any, memory: Array, average: int, value: int, numbers: int) -> None:
    """``average = momentum * average + (1 - momentum) * value``."""
    kept = multiply(splat(zero, at(memory, numbers)), load(zero, memory, average))
    new = splat(zero, at(memory, numbers + 1))
    store(memory, average, fma(new, load(zero, memory, value), kept))
