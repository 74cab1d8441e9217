"""Sigmoid, GELU and the leaky ReLU over arrays, and gradients, that of tanh too, in one pass.

NumPy's own tanh is faster than one of ours would be. What is left at the end, fewer numbers
than a vector has, is put into a vector of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu import error_function, hyperbolic
from fastnn.kernels.cpu.compiler import allocating_kernel, inline_kernel, kernel
from fastnn.kernels.cpu.strips import narrow
from fastnn.kernels.cpu.vector import lanes, multiply
from fastnn.kernels.cpu.vector_memory import load, store

Array = Any


@allocating_kernel
def sigmoid(x: Array, out: Array) -> None:
    """``out = 1 / (1 + exp(-x))``. x, out (K,); `out` may be `x`."""
    zero = narrow(x)
    whole = x.size // lanes(zero) * lanes(zero)
    for place in range(0, whole, lanes(zero)):
        store(out, place, hyperbolic.sigmoid(load(zero, x, place)))
    if whole < x.size:
        _store_rest(out, whole, hyperbolic.sigmoid(_load_rest(zero, x, whole)))


@allocating_kernel
def gelu(x: Array, out: Array) -> None:
    """``out = x P(x)``. x, out (K,); `out` may be `x`."""
    zero = narrow(x)
    whole = x.size // lanes(zero) * lanes(zero)
    for place in range(0, whole, lanes(zero)):
        store(out, place, error_function.gelu(load(zero, x, place)))
    if whole < x.size:
        _store_rest(out, whole, error_function.gelu(_load_rest(zero, x, whole)))


@allocating_kernel
def gelu_backward(dout: Array, x: Array, out: Array) -> None:
    """``out = dout (P(x) + x p(x))``. dout, x, out (K,); `out` may be one of the others."""
    zero = narrow(x)
    whole = x.size // lanes(zero) * lanes(zero)
    for place in range(0, whole, lanes(zero)):
        slope = error_function.gelu_derivative(load(zero, x, place))
        store(out, place, multiply(load(zero, dout, place), slope))
    if whole < x.size:
        slope = error_function.gelu_derivative(_load_rest(zero, x, whole))
        _store_rest(out, whole, multiply(_load_rest(zero, dout, whole), slope))


@inline_kernel
def _load_rest(zero: Any, x: Array, begin: int) -> Any:
    """A vector of what stands from `begin` on, and zeros."""
    room = np.zeros(lanes(zero), x.dtype)
    for k in range(begin, x.size):
        room[k - begin] = x[k]
    return load(zero, room, 0)


@inline_kernel
def _store_rest(out: Array, begin: int, vector: Any) -> None:
    """Write as much of a vector as there is room from `begin` on."""
    room = np.empty(lanes(vector), out.dtype)
    store(room, 0, vector)
    for k in range(begin, out.size):
        out[k] = room[k - begin]


@kernel
def sigmoid_backward(dout: Array, y: Array, out: Array) -> None:
    """``out = dout y (1 - y)``. All (K,); `out` may be one of the others."""
    one = y.dtype.type(1)
    for k in range(y.size):
        out[k] = dout[k] * (y[k] * (one - y[k]))


@kernel
def tanh_backward(dout: Array, y: Array, out: Array) -> None:
    """``out = dout (1 - y) (1 + y)``. All (K,); `out` may be one of the others."""
    one = y.dtype.type(1)
    for k in range(y.size):
        out[k] = dout[k] * ((one - y[k]) * (one + y[k]))


@kernel
def leaky_relu(x: Array, slope: float, out: Array) -> None:
    """``out = x`` where it is positive, else ``slope x``. x, out (K,); `out` may be `x`."""
    factor, one = x.dtype.type(slope), x.dtype.type(1)
    for k in range(x.size):
        out[k] = x[k] * (factor if x[k] <= 0 else one)


@kernel
def leaky_relu_backward(dout: Array, y: Array, slope: float, out: Array) -> None:
    """``out = slope dout`` where y is not positive, else dout. All (K,); `out` may be `dout`."""
    factor, one = dout.dtype.type(slope), dout.dtype.type(1)
    for k in range(dout.size):
        out[k] = dout[k] * (factor if y[k] <= 0 else one)
