"""What a layer's output goes through while a tile of it is in registers, and the way back.

An activation is a type, with what it has to know as fields, and two formulas: its output for a
vector of sums, and the gradient by the sums, given that by the output, the output and the sums.
`Net.activations` has those of a network, and a layer's record names one by its number there, from
one on; 0 is none. Kernels are compiled for the types in it, and so for nothing that a network does
not use.

A column behind a layer's outputs is padding, whose sums are zero, and so has to be the output
there, in the output of `Sigmoid` too: a weight behind what is not zero would be trained along.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn.kernels.cpu import dropout_in_strips
from fastnn.kernels.cpu.compiler import chosen_by_type, inline_kernel
from fastnn.kernels.cpu.error_function import gelu, gelu_derivative
from fastnn.kernels.cpu.hyperbolic import sigmoid, tanh
from fastnn.kernels.cpu.vector import (
    add,
    leading_lanes,
    multiply,
    relu,
    scale_where_not_positive,
    splat,
    subtract,
    zero_behind_relu,
)
from fastnn.kernels.cpu.vector_memory import load, store

Array = Any
Formula = Any


class Relu(NamedTuple):
    """``max(x, 0)``."""


class LeakyRelu(NamedTuple):
    """``x`` where it is positive, else ``slope * x``."""

    slope: Any


class Sigmoid(NamedTuple):
    """``1 / (1 + exp(-x))``."""


class Tanh(NamedTuple):
    """The hyperbolic tangent."""


class Gelu(NamedTuple):
    """``x P(x)``, P being the normal distribution."""


BY_NAME = {
    "relu": Relu,
    "leaky_relu": LeakyRelu,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "gelu": Gelu,
}
"""What a step plan calls them."""

NEED_SUMS: tuple[type, ...] = (Gelu,)
"""Those whose gradient is not known from their output; their sums are kept in ``sums``."""


def number_activations(blocks: Any, dtype: Any) -> tuple[tuple[Any, ...], list[int]]:
    """Give the activations of some blocks, each once, and the number of each block's."""
    known: dict[tuple[str, Any], int] = {}
    numbers = []
    for block in blocks:
        if block.activation is None:
            numbers.append(0)
            continue
        name, options = block.activation.name, block.activation.options
        kind = BY_NAME[name](**{option: dtype.type(value) for option, value in options.items()})
        numbers.append(known.setdefault((name, kind), len(known) + 1))
    return tuple(kind for _, kind in known), numbers


@inline_kernel
def activate(row: Any, net: Any, layer: Any, place: int, outputs: int) -> Any:
    """Give the output for a vector of sums.

    `place` is where it goes to in the layer's ``out``, and `outputs` how many columns from there on
    are no padding.
    """
    return activate_by(layer.activation, row, net, layer, place, outputs)


@inline_kernel
def activate_by(number: int, row: Any, net: Any, layer: Any, place: int, outputs: int) -> Any:
    """Do `activate` by the activation of a number, whatever the layer's record says."""
    if need_sums(net.activations):
        store(net.memory, place - layer.out + layer.sums, row)
    return _forward(row, outputs, number, net.activations)


@inline_kernel
def activate_backward(dout: Any, net: Any, layer: Any, place: int) -> Any:
    """Give the gradient by a layer's sums, from that by its output, which stands at `place`."""
    dout = dropout_in_strips.backward(net.dropout, dout, net, layer, place)
    return activate_backward_by(layer.activation, dout, net, layer, place)


@inline_kernel
def activate_backward_by(number: int, dout: Any, net: Any, layer: Any, place: int) -> Any:
    """Do `activate_backward` by the activation of a number."""
    out = load(dout, net.memory, place)
    sums = out
    if need_sums(net.activations):
        sums = load(dout, net.memory, place - layer.out + layer.sums)
    return _backward(dout, out, sums, number, net.activations)


def need_sums(kinds: Any) -> bool:
    """Whether one of these activations, a tuple or its type, has to have its sums kept."""
    return any(isinstance(kind, NEED_SUMS) for kind in kinds)


@chosen_by_type(need_sums)
def _need_sums(kinds: Any) -> Formula:
    needed = any(issubclass(kind.instance_class, NEED_SUMS) for kind in kinds)
    return lambda kinds: needed


def _forward(row: Any, outputs: int, number: int, kinds: Any) -> Any:
    """Go through the activation of a number, counted from the first of `kinds`."""


@chosen_by_type(_forward)
def _forward_of(row: Any, outputs: Any, number: Any, kinds: Any) -> Formula:
    if len(kinds) == 0:
        return lambda row, outputs, number, kinds: row
    formula = FORWARD[kinds[0].instance_class]

    def choose(row: Any, outputs: Any, number: Any, kinds: Any) -> Any:
        if number == 1:
            return formula(row, outputs, kinds[0])
        return _forward(row, outputs, number - 1, kinds[1:])

    return choose


def _backward(dout: Any, out: Any, sums: Any, number: int, kinds: Any) -> Any:
    """Go back through the activation of a number, counted from the first of `kinds`."""


@chosen_by_type(_backward)
def _backward_of(dout: Any, out: Any, sums: Any, number: Any, kinds: Any) -> Formula:
    if len(kinds) == 0:
        return lambda dout, out, sums, number, kinds: dout
    formula = BACKWARD[kinds[0].instance_class]

    def choose(dout: Any, out: Any, sums: Any, number: Any, kinds: Any) -> Any:
        if number == 1:
            return formula(dout, out, sums, kinds[0])
        return _backward(dout, out, sums, number - 1, kinds[1:])

    return choose


@inline_kernel
def _relu(row: Any, outputs: int, kind: Any) -> Any:
    return relu(row)


@inline_kernel
def _relu_backward(dout: Any, out: Any, sums: Any, kind: Any) -> Any:
    return zero_behind_relu(dout, out)


@inline_kernel
def _leaky_relu(row: Any, outputs: int, kind: Any) -> Any:
    return scale_where_not_positive(row, row, kind.slope)


@inline_kernel
def _leaky_relu_backward(dout: Any, out: Any, sums: Any, kind: Any) -> Any:
    return scale_where_not_positive(dout, out, kind.slope)


@inline_kernel
def _sigmoid(row: Any, outputs: int, kind: Any) -> Any:
    return leading_lanes(sigmoid(row), outputs, 0)


@inline_kernel
def _sigmoid_backward(dout: Any, out: Any, sums: Any, kind: Any) -> Any:
    return multiply(dout, multiply(out, subtract(splat(out, 1), out)))


@inline_kernel
def _tanh(row: Any, outputs: int, kind: Any) -> Any:
    return tanh(row)


@inline_kernel
def _tanh_backward(dout: Any, out: Any, sums: Any, kind: Any) -> Any:
    one = splat(out, 1)
    return multiply(dout, multiply(subtract(one, out), add(one, out)))


@inline_kernel
def _gelu(row: Any, outputs: int, kind: Any) -> Any:
    return gelu(row)


@inline_kernel
def _gelu_backward(dout: Any, out: Any, sums: Any, kind: Any) -> Any:
    return multiply(dout, gelu_derivative(sums))


FORWARD = {Relu: _relu, LeakyRelu: _leaky_relu, Sigmoid: _sigmoid, Tanh: _tanh, Gelu: _gelu}
BACKWARD = {
    Relu: _relu_backward,
    LeakyRelu: _leaky_relu_backward,
    Sigmoid: _sigmoid_backward,
    Tanh: _tanh_backward,
    Gelu: _gelu_backward,
}
