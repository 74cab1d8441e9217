"""How a parameter follows its gradient while a vector of it is in registers.

An update rule is a type, with the numbers that it reads as fields, and one formula: what becomes of
a vector of a parameter, and of its state. State lies behind the parameters in the same order (see
`Net.shape.parameters`), so that the place of a parameter says where its state is. Kernels are
compiled for the rule that a network is trained with.

A rule whose change is a multiple of the gradient and of nothing else, as that of `Sgd` is, takes
the factor in advance: the gradient by the first layer's output is multiplied by it, and sums over
samples are added to its weights as they are. `in_advance` gives that factor, and `apply_whole` does
what is left to do. Other rules have to see every gradient, also those that are zero: `sees_all`.

Weight decay is a rule around another one, which is given what the decay makes of the gradient, or
of the parameter. Biases are not penalised, and decay only if the type says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastnn.kernels.cpu.compiler import chosen_by_type, inline_kernel
from fastnn.kernels.cpu.vector import add, divide, fma, multiply, splat, square_root, subtract
from fastnn.kernels.cpu.vector_memory import load, store
from llvmlite import ir
from numba import types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

Array = Any
Formula = Any


class Sgd(NamedTuple):
    """``W -= lr * dW``."""

    lr: Any


class Momentum(NamedTuple):
    """``v = momentum * v - lr * dW; W += v``."""

    lr: Any
    momentum: Any


class Nesterov(NamedTuple):
    """``W += momentum**2 * v - (1 + momentum) * lr * dW; v = momentum * v - lr * dW``."""

    lr: Any
    momentum: Any


class AdaGrad(NamedTuple):
    """``h += dW**2; W -= lr * dW / (sqrt(h) + epsilon)``."""

    lr: Any
    epsilon: Any


class RMSprop(NamedTuple):
    """``h += (1 - decay_rate) * (dW**2 - h); W -= lr * dW / (sqrt(h) + epsilon)``."""

    lr: Any
    one_minus_decay_rate: Any
    epsilon: Any


class Adam(NamedTuple):
    """``m += (1 - beta1) * (dW - m)``, v of squares, ``W -= lr_t * m / (sqrt(v) + epsilon)``."""

    lr_t: Any
    one_minus_beta1: Any
    one_minus_beta2: Any
    epsilon: Any


class Penalised(NamedTuple):
    """The gradient of a penalty in the loss: ``dW += weight_decay * W``, not for biases.

    See `fastnn.kernels.cpu.penalty`.
    """

    rule: Any
    weight_decay: Any


class PenalisedMore(NamedTuple):
    """`Penalised`, whose penalty stands in the loss so many times."""

    rule: Any
    weight_decay: Any
    times: Any


class Clipped(NamedTuple):
    """``dW *= min(1, clip_norm / (norm + 1e-6))`` with the norm of the gradients of all parameters.

    It is known when all gradients are: `apply` only stores them, in an array behind the state. What
    follows then says `fastnn.kernels.cpu.clipping`.
    """

    rule: Any
    clip_norm: Any
    clip_epsilon: Any


class Decayed(NamedTuple):
    """``dW += weight_decay * W``, not for biases."""

    rule: Any
    weight_decay: Any


class DecayedAll(NamedTuple):
    """``dW += weight_decay * W``, of every parameter."""

    rule: Any
    weight_decay: Any


class Decoupled(NamedTuple):
    """``W -= lr * weight_decay * W``, before the rule acts; not for biases."""

    rule: Any
    lr: Any
    weight_decay: Any


class DecoupledAll(NamedTuple):
    """``W -= lr * weight_decay * W``, before the rule acts, of every parameter."""

    rule: Any
    lr: Any
    weight_decay: Any


BY_NAME: dict[str, type] = {
    "sgd_update": Sgd,
    "momentum_update": Momentum,
    "nesterov_update": Nesterov,
    "adagrad_update": AdaGrad,
    "rmsprop_update": RMSprop,
    "adam_update": Adam,
}
"""By the primitive of a step plan's rule."""


@intrinsic
def rule_at(typingctx: Any, rule: Any, numbers: Any, step: Any) -> Any:
    """A rule of the type of `rule`, its numbers those of a row of the array `numbers`.

    The numbers of a rule within another one come first.
    """

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        array = context.make_array(numbers)(context, builder, arguments[1])
        count = ir.Constant(ir.IntType(64), sum(1 for _ in _numbers_of(rule)))
        place = builder.mul(arguments[2], count)

        def made(kind: Any) -> Any:
            nonlocal place
            if not isinstance(kind, types.BaseTuple):
                number = builder.load(builder.gep(array.data, [place]))
                place = builder.add(place, ir.Constant(ir.IntType(64), 1))
                return number
            return context.make_tuple(builder, kind, [made(field) for field in kind.types])

        return made(rule)

    return rule(rule, numbers, types.intp), generate


@inline_kernel
def apply(rule: Any, net: Any, place: int, gradient: Any) -> Any:
    """Change the vector of parameters at `place`, given its gradient; give what it is now."""
    return _apply(rule, net.memory, place, net.shape.parameters, gradient)


@inline_kernel
def apply_whole(rule: Any, net: Any, place: int, gradient: Any) -> Any:
    """Do `apply`, where the gradient has been multiplied by `in_advance` already."""
    return _apply_whole(rule, net.memory, place, net.shape.parameters, gradient)


@inline_kernel
def apply_to_bias(rule: Any, net: Any, place: int, gradient: Any) -> Any:
    """Do `apply` for a bias, which may not decay."""
    return _apply(of_biases(rule), net.memory, place, net.shape.parameters, gradient)


@inline_kernel
def apply_whole_to_bias(rule: Any, net: Any, place: int, gradient: Any) -> Any:
    """Do `apply_whole` for a bias."""
    return _apply_whole_to_bias(rule, net.memory, place, net.shape.parameters, gradient)


@inline_kernel
def apply_to_tile(rule: Any, net: Any, place: int, width: int, tile: Any) -> Any:
    """Do `apply` for the rows of a tile, `width` numbers apart; give what they are now."""
    t0, t1, t2, t3 = tile
    t0 = apply(rule, net, place, t0)
    place += width
    t1 = apply(rule, net, place, t1)
    place += width
    t2 = apply(rule, net, place, t2)
    place += width
    t3 = apply(rule, net, place, t3)
    return t0, t1, t2, t3


def in_advance(rule: Any) -> Any:
    """The factor with which the first layer's gradients are multiplied as they are made."""


def sees_all(rule: Any) -> Any:
    """Whether a rule changes a parameter whose gradient is zero, or its state."""


def stored_at(rule: Any) -> Any:
    """How many arrays of parameters and state lie before the gradients of a `Clipped` rule."""


def of_biases(rule: Any) -> Any:
    """The rule by which biases are updated."""


def _apply(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    """See `apply`; the first array of state is `stride` numbers behind the parameters."""


def _apply_whole(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    """See `apply_whole`."""


def _apply_whole_to_bias(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    """See `apply_whole_to_bias`."""


@chosen_by_type(in_advance)
def _in_advance(rule: Any) -> Formula:
    if rule.instance_class is Sgd:
        return lambda rule: -rule.lr
    one = next(_numbers_of(rule))
    return lambda rule: one(1)


@chosen_by_type(sees_all)
def _sees_all(rule: Any) -> Formula:
    answer = rule.instance_class is not Sgd
    return lambda rule: answer


@chosen_by_type(stored_at)
def _stored_at(rule: Any) -> Formula:
    innermost = rule
    while isinstance(innermost.types[0], types.BaseTuple):
        innermost = innermost.types[0]
    count = 1 + STATES[innermost.instance_class]
    return lambda rule: count


@chosen_by_type(of_biases)
def _of_biases(rule: Any) -> Formula:
    if rule.instance_class in FOR_WEIGHTS:
        return lambda rule: of_biases(rule.rule)
    return lambda rule: rule


@chosen_by_type(_apply)
def _apply_of(rule: Any, memory: Any, place: Any, stride: Any, gradient: Any) -> Formula:
    return FORMULAS[rule.instance_class]


@chosen_by_type(_apply_whole)
def _apply_whole_of(rule: Any, memory: Any, place: Any, stride: Any, gradient: Any) -> Formula:
    if rule.instance_class is Sgd:
        return _add
    return FORMULAS[rule.instance_class]


@chosen_by_type(_apply_whole_to_bias)
def _apply_whole_to_bias_of(
    rule: Any, memory: Any, place: Any, stride: Any, gradient: Any
) -> Formula:
    if rule.instance_class is Sgd:
        return _add
    return lambda rule, memory, place, stride, gradient: _apply(
        of_biases(rule), memory, place, stride, gradient
    )


def _add(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    W = add(load(gradient, memory, place), gradient)
    store(memory, place, W)
    return W


def _sgd(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    W = fma(splat(gradient, -rule.lr), gradient, load(gradient, memory, place))
    store(memory, place, W)
    return W


def _momentum(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    v = multiply(splat(gradient, rule.momentum), load(gradient, memory, place + stride))
    v = fma(splat(gradient, -rule.lr), gradient, v)
    W = add(load(gradient, memory, place), v)
    store(memory, place + stride, v)
    store(memory, place, W)
    return W


def _nesterov(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    momentum, v = splat(gradient, rule.momentum), load(gradient, memory, place + stride)
    change = multiply(splat(gradient, -rule.lr), gradient)
    W = load(gradient, memory, place)
    W = fma(splat(gradient, rule.momentum * rule.momentum), v, W)
    W = add(W, fma(momentum, change, change))
    store(memory, place + stride, fma(momentum, v, change))
    store(memory, place, W)
    return W


def _adagrad(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    h = fma(gradient, gradient, load(gradient, memory, place + stride))
    store(memory, place + stride, h)
    return _against_root(rule, memory, place, multiply(splat(gradient, -rule.lr), gradient), h)


def _rmsprop(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    h = load(gradient, memory, place + stride)
    h = _towards(multiply(gradient, gradient), h, rule.one_minus_decay_rate)
    store(memory, place + stride, h)
    return _against_root(rule, memory, place, multiply(splat(gradient, -rule.lr), gradient), h)


def _adam(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    m = _towards(gradient, load(gradient, memory, place + stride), rule.one_minus_beta1)
    store(memory, place + stride, m)
    v = load(gradient, memory, place + 2 * stride)
    v = _towards(multiply(gradient, gradient), v, rule.one_minus_beta2)
    store(memory, place + 2 * stride, v)
    return _against_root(rule, memory, place, multiply(splat(gradient, -rule.lr_t), m), v)


def _decayed(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    W = load(gradient, memory, place)
    gradient = fma(splat(gradient, rule.weight_decay), W, gradient)
    return _apply(rule.rule, memory, place, stride, gradient)


def _store_gradient(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    store(memory, place + stored_at(rule) * stride, gradient)
    return load(gradient, memory, place)


def _decoupled(rule: Any, memory: Array, place: int, stride: int, gradient: Any) -> Any:
    W = load(gradient, memory, place)
    store(memory, place, fma(splat(gradient, -(rule.lr * rule.weight_decay)), W, W))
    return _apply(rule.rule, memory, place, stride, gradient)


@inline_kernel
def _towards(new: Any, mean: Any, gain: Any) -> Any:
    """``mean + gain * (new - mean)``, a step of a moving average."""
    return fma(splat(mean, gain), subtract(new, mean), mean)


@inline_kernel
def _against_root(rule: Any, memory: Array, place: int, change: Any, squares: Any) -> Any:
    """``W += change / (sqrt(squares) + epsilon)``."""
    root = add(square_root(squares), splat(squares, rule.epsilon))
    W = add(load(change, memory, place), divide(change, root))
    store(memory, place, W)
    return W


FORMULAS = {
    Sgd: _sgd,
    Momentum: _momentum,
    Nesterov: _nesterov,
    AdaGrad: _adagrad,
    RMSprop: _rmsprop,
    Adam: _adam,
    Penalised: _decayed,
    PenalisedMore: _decayed,
    Clipped: _store_gradient,
    Decayed: _decayed,
    DecayedAll: _decayed,
    Decoupled: _decoupled,
    DecoupledAll: _decoupled,
}

STATES = {Sgd: 0, Momentum: 1, Nesterov: 1, AdaGrad: 1, RMSprop: 1, Adam: 2}
"""Arrays of state of each rule."""

PENALTIES = (Penalised, PenalisedMore)

FOR_WEIGHTS = (*PENALTIES, Decayed, Decoupled)
"""What is not done to biases. A penalty is around `Clipped`, and that around the other decays."""


def _numbers_of(rule: Any) -> Iterator[Any]:
    """Give the types of a rule's numbers in order, those of the rule within it first."""
    for kind in rule.types:
        if isinstance(kind, types.BaseTuple):
            yield from _numbers_of(kind)
        else:
            yield kind
