"""Launchers of ``activations.cu``."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.sizes import ENTRY_THREADS, blocks_of

Array = Any


def sigmoid(*, x: Array, out: Array) -> None:
    """``out = 1 / (1 + exp(-x))``; x, out of one shape."""
    _launch("sigmoid", out, x, out)


def sigmoid_backward(*, dout: Array, y: Array, out: Array) -> None:
    """``out = dout y (1 - y)``; all of one shape."""
    _launch("sigmoid_backward", out, dout, y, out)


def tanh(*, x: Array, out: Array) -> None:
    """``out = tanh(x)``; x, out of one shape."""
    _launch("tanh_forward", out, x, out)


def tanh_backward(*, dout: Array, y: Array, out: Array) -> None:
    """``out = dout (1 - y) (1 + y)``; all of one shape."""
    _launch("tanh_backward", out, dout, y, out)


def leaky_relu(*, x: Array, slope: float, out: Array) -> None:
    """``out = x`` where it is positive, else ``slope x``; x, out of one shape."""
    _launch("leaky_relu", out, x, out.dtype.type(slope), out)


def leaky_relu_backward(*, dout: Array, y: Array, slope: float, out: Array) -> None:
    """``out = slope dout`` where y is not positive, else ``dout``; all of one shape."""
    _launch("leaky_relu_backward", out, dout, y, out.dtype.type(slope), out)


def gelu(*, x: Array, out: Array) -> None:
    """``out = x P(x)``, P being the normal distribution; x, out of one shape."""
    _launch("gelu", out, x, out)


def gelu_backward(*, dout: Array, x: Array, out: Array) -> None:
    """``out = dout (P(x) + x P'(x))``; all of one shape."""
    _launch("gelu_backward", out, dout, x, out)


def _launch(name: str, out: Array, *arguments: Any) -> None:
    """Launch a kernel with a thread for each entry of `out`; a grid of none is an error."""
    blocks = blocks_of(out.size, ENTRY_THREADS)
    if blocks:
        launch = kernel("activations", name, out.dtype.name)
        launch((blocks,), (ENTRY_THREADS,), (*arguments, np.int64(out.size)))
