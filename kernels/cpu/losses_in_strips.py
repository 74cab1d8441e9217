"""The losses of a step, with their gradients, on scores that lie in strips.

A loss is a type that holds its targets, and `loss` is compiled for that of a network alone. Of
softmax see `fastnn.kernels.cpu.softmax_in_strips`. The other losses are sums over the outputs, each
of which is by itself: one formula gives the loss of a vector of scores and the difference that its
gradient is a multiple of. See `fastnn.kernels.cpu.loss` for the formulas, and why they are so.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastnn.kernels.cpu import softmax_in_strips
from fastnn.kernels.cpu.compiler import chosen_by_type, inner_kernel
from fastnn.kernels.cpu.cross_entropy import sigmoid_cross_entropy
from fastnn.kernels.cpu.hyperbolic import sigmoid
from fastnn.kernels.cpu.net import row_of
from fastnn.kernels.cpu.strips import narrow
from fastnn.kernels.cpu.vector import (
    add,
    lanes,
    largest,
    leading_lanes,
    magnitude,
    multiply,
    splat,
    subtract,
)
from fastnn.kernels.cpu.vector_lanes import largest_lane, sum_of_lanes
from fastnn.kernels.cpu.vector_memory import load, store
from fastnn.kernels.cpu.weights_in_strips import weigh

Array = Any
Formula = Any


class SoftmaxCrossEntropy(NamedTuple):
    """``-log(softmax(x)[t])``; targets (K,) int64 are classes."""

    targets: Array


class SigmoidCrossEntropy(NamedTuple):
    """``sum(-t log(y) - (1 - t) log(1 - y))``, y being ``sigmoid(x)``; targets (K, C), given flat.

    They are of the network's dtype.
    """

    targets: Array


class SquaredError(NamedTuple):
    """``sum((x - t)**2) / 2``; targets likewise."""

    targets: Array


class Weighted(NamedTuple):
    """A loss of samples with weights (K,), float64; see `fastnn.kernels.cpu.weights_in_strips`."""

    loss: Any
    weights: Array


BY_NAME = {
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "sigmoid_cross_entropy": SigmoidCrossEntropy,
    "squared_error": SquaredError,
}
"""By the primitive of a step plan's loss."""


def loss(kind: Any, net: Any, batch: Array, samples: Any, factor: Any) -> Any:
    """Losses of a range of samples, and ``dout = factor`` times the gradient of their mean.

    Gives the largest magnitude in dout, or NaN.
    """


@chosen_by_type(loss)
def _loss(kind: Any, net: Any, batch: Any, samples: Any, factor: Any) -> Formula:
    if kind.instance_class is Weighted:
        return _of_weighted
    if kind.instance_class is SoftmaxCrossEntropy:
        return _of_classes
    return _of_outputs


def _of_classes(kind: Any, net: Any, batch: Array, samples: Any, factor: Any) -> Any:
    zero = narrow(net.memory)
    return softmax_in_strips.loss(zero, net, kind.targets, batch, samples, factor)


def _of_weighted(kind: Any, net: Any, batch: Array, samples: Any, factor: Any) -> Any:
    loss(kind.loss, net, batch, samples, factor)
    return weigh(narrow(net.memory), net, kind.weights, batch, samples)


def _of_outputs(kind: Any, net: Any, batch: Array, samples: Any, factor: Any) -> Any:
    return loss_by_output(narrow(net.memory), kind, net, batch, samples, factor)


@inner_kernel
def loss_by_output(zero: Any, kind: Any, net: Any, batch: Array, samples: Any, factor: Any) -> Any:
    """See `loss`. A sample's targets are copied to ``dout``, and read in vectors there."""
    memory, layer = net.memory, net.layers[net.layers.size - 1]
    outputs, dtype = layer.outputs, net.memory.dtype.type
    bound = dtype(np.finfo(memory.dtype).max / 2)
    share_of_loss = splat(zero, factor / dtype(batch.size))
    count, peak = kind.targets.size // outputs, zero
    for n in range(samples[0], samples[1]):
        total = zero
        t = min(max(batch[min(n, batch.size - 1)], 0), count - 1) * outputs
        for s in range(layer.strip_count):
            scores, dout = row_of(net, layer.out, layer, s, n), row_of(net, layer.dout, layer, s, n)
            left = outputs - s * layer.strip_width
            for c in range(min(left, layer.strip_width)):
                memory[dout + c] = kind.targets[t + s * layer.strip_width + c]
            for c in range(0, layer.strip_width, lanes(zero)):
                row = zero
                if c < left and n < batch.size:
                    targets = load(zero, memory, dout + c)
                    value, row = of_vector(kind, load(zero, memory, scores + c), targets)
                    total = add(total, leading_lanes(value, left - c, 0))
                    row = leading_lanes(multiply(row, share_of_loss), left - c, 0)
                store(memory, dout + c, row)
                peak = largest(peak, magnitude(row))
        if n < batch.size:
            value = sum_of_lanes(total)
            memory[net.shape.losses + n] = bound if value > bound else value
    return largest_lane(peak)


def of_vector(kind: Any, scores: Any, targets: Any) -> Any:
    """Losses of a vector of outputs, and N times the gradient of their mean by the scores."""


@chosen_by_type(of_vector)
def _of_vector(kind: Any, scores: Any, targets: Any) -> Formula:
    return FORMULAS[kind.instance_class]


def _sigmoid_cross_entropy(kind: Any, x: Any, t: Any) -> Any:
    return sigmoid_cross_entropy(x, t), subtract(sigmoid(x), t)


def _squared_error(kind: Any, x: Any, t: Any) -> Any:
    difference = subtract(x, t)
    return multiply(multiply(splat(x, 0.5), difference), difference), difference


FORMULAS = {SigmoidCrossEntropy: _sigmoid_cross_entropy, SquaredError: _squared_error}
