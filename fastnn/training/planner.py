"""From a network, a data set and an optimizer to the plan of a training step.

This is where layers become data: which of them run as one block, and which take part by their own
`forward`, in training mode, and `backward`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.plan import (
    Activation,
    Block,
    Chain,
    LayerCalls,
    Operation,
    Penalty,
    Rule,
    StepPlan,
    state_name,
)
from fastnn.backends.sparse_rows import SparseRows
from fastnn.backends.steps import lay_out
from fastnn.checks import common_dtype
from fastnn.nn import activations
from fastnn.nn.batch_normalization import BatchNormalization
from fastnn.nn.dropout import Dropout
from fastnn.nn.layer import Layer, gradient_of, is_unmodified, parameter_names
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.losses import LOSSES
from fastnn.nn.modes import training_forward
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.sequential import Sequential
from fastnn.nn.updating import state_of
from fastnn.nn.validation import real_array

ACTIVATIONS: dict[type[Layer], Callable[[Any], Activation]] = {
    Relu: lambda layer: Activation("relu"),
    **dict.fromkeys(activations.BY_PRIMITIVE, lambda layer: _by_primitive(layer)),
}
"""Layers that run as one with the layer before them, and what the plan says of them."""

STATE: dict[type[Layer], tuple[str, ...]] = {
    BatchNormalization: ("running_mean", "running_var"),
    Dropout: ("draws",),
}
"""Layers that are a primitive each way, and the arrays that they change in training."""

KEEPING_SHAPE: tuple[type[Layer], ...] = (*ACTIVATIONS, BatchNormalization, Dropout)
"""Layers that give what has the shape of their input, and treat all axes but the first alike."""

CAPTURED_LAYERS: tuple[type[Layer], ...] = (Affine, *ACTIVATIONS, *LOSSES)
"""Layers of fastnn's whose methods do the same at each call, and may be replayed."""


def make_plan(
    network: Sequential,
    x: Array,
    t: Array,
    optimizer: Optimizer,
    batch_size: int,
    scale: float = 1.0,
    w: Array | None = None,
) -> StepPlan:
    """Lay out a training step.

    Parameters
    ----------
    network : Sequential
        Its parameters are used as they are, and updated in place; of the state of its layers,
        `state_owners`, the plan has copies.
    x : array (K, ...), on the network's backend
        The data set; each batch is cast to the network's dtype as it is gathered.
    t : array (K, ...), on the network's backend
        Targets as the loss takes them: classes int64, numbers of the network's dtype, or whatever
        a loss layer of the user's own takes.
    optimizer : Optimizer
        Says how a parameter is updated.
    batch_size : int
        The largest batch.
    scale : float, optional
        What `x` is multiplied by as a batch is gathered.
    w : array (K,) of float64, on the network's backend, optional
        Weights of the samples.

    Raises
    ------
    TypeError, ValueError
        If the state of a layer holds no real numbers, or is of another shape than it has to be.
    """
    owners = network.owners()
    parameters = {name: getattr(layer, attribute) for name, (layer, attribute) in owners.items()}
    if not isinstance(x, SparseRows) and _begins_flat(list(network.layers.values())):
        x = network.backend.xp.reshape(x, (x.shape[0], -1))
    state = {
        name: _state(name, network.backend, *owner) for name, owner in state_owners(network).items()
    }
    chain = make_chain(network, optimizer, flat=x.ndim == 2, weighted=w is not None)
    arrays = {"x_data": x, "t_data": t, **parameters, **state}
    if w is not None:
        arrays["w_data"] = w
    if isinstance(chain.update, Rule):
        for name, parameter in parameters.items():
            found = state_of(name, parameter, network.backend, optimizer.state)
            for each, array in zip(chain.update.state, found, strict=True):
                arrays[state_name(each, name)] = network.backend.copy(array)
    plan = StepPlan(network.dtype, batch_size, scale, arrays, chain)
    lay_out(plan)
    return plan


def plan_over(plan: StepPlan, data: Mapping[str, Array], batch_size: int) -> StepPlan:
    """Lay out the same step over another data set, for batches of another size.

    `data` are ``x_data``, of as many axes as in `plan`, ``t_data``, and ``w_data`` if samples have
    weights; parameters and state are those of `plan`.
    """
    other = StepPlan(plan.dtype, batch_size, plan.scale, {**plan.arrays, **data}, plan.chain)
    lay_out(other)
    return other


def make_chain(
    network: Sequential, optimizer: Optimizer, *, flat: bool, weighted: bool = False
) -> Chain:
    """Describe a network and how it is updated.

    `flat` says whether a sample has one axis, `weighted` whether it has a weight.
    """
    parameters, update = tuple(network.owners()), optimizer.described_update()
    by_rule = isinstance(update, Rule)
    decayed = tuple(filter(optimizer.decays, parameters)) if by_rule else ()
    penalty = _penalty(network)
    if optimizer.penalty_in_loss and decayed and penalty is None:
        penalty, decayed = Penalty(None, decayed, optimizer.penalty_in_loss), ()
    return Chain(
        tuple(_blocks(network, flat=flat)),
        _loss(network.last_layer),
        parameters,
        update,
        clips=by_rule and optimizer.clip_norm is not None,
        decayed=decayed,
        penalty=penalty,
        weighted=weighted,
        loss_label=type(network.last_layer).__name__,
        update_label=type(optimizer).__name__,
    )


def state_owners(network: Sequential) -> dict[str, tuple[Any, str]]:
    """Give for each array of state in a plan its layer and the attribute there."""
    return {
        f"{name}.{attribute}": (layer, attribute)
        for name, layer in network.layers.items()
        for cls, attributes in STATE.items()
        if is_unmodified(layer, cls)
        for attribute in attributes
    }


def _state(name: str, backend: Backend, layer: Any, attribute: str) -> Array:
    """Copy the state of a layer, as the steps of a plan take it."""
    array = real_array(getattr(layer, attribute), backend, name)
    shape: tuple[int, ...] = ()
    dtype = "int64"
    if isinstance(layer, BatchNormalization):
        shape, dtype = tuple(layer.gamma.shape), common_dtype([layer.gamma, layer.beta])
    if tuple(array.shape) != shape:
        raise ValueError(
            f"{name} has shape {tuple(array.shape)}, and training changes it as an array {shape}: "
            "set it to one"
        )
    return backend.copy(backend.asarray(array, dtype))


def _begins_flat(layers: list[Any]) -> bool:
    """Whether a sample may have one axis, since all layers up to an Affine treat any others so."""
    behind = itertools.dropwhile(lambda layer: type(layer) in KEEPING_SHAPE, layers)
    return isinstance(next(behind, None), Affine)


def _blocks(network: Sequential, *, flat: bool) -> list[Block]:
    """Cut the layers into blocks; `flat` says whether a sample has one axis."""
    layers, owners = list(network.layers.values()), network.owners()
    keys = list(map(str, network.layers))
    labels = list(map(label_of, keys, layers))
    blocks, position = [], 0
    while position < len(layers):
        layer = layers[position]
        names = tuple(name for name, (owner, _) in owners.items() if owner is layer)
        operation = _operation(keys[position], layer, names, flat)
        activation, first = None, labels[position]
        affine = flat and is_unmodified(layer, Affine) and len(names) == len(Affine.parameters)
        if affine or (operation is not None and operation.name == "batch_norm"):
            activation = _activation(layers, position + 1)
        position += 1 if activation is None else 2
        label = first if activation is None else f"{first}, {labels[position - 1]}"
        if affine:
            blocks.append(Block(names, int(layer.W.shape[1]), activation, label=label))
        elif operation is not None:
            units = int(layer.gamma.shape[0]) if operation.name == "batch_norm" else 0
            blocks.append(Block(names, units, activation, operation=operation, label=label))
        else:
            blocks.append(Block(names, layer=_calls(layer, _backward_of(layer)), label=label))
        flat = type(layer) is Affine or (flat and type(layer) in KEEPING_SHAPE)
    return blocks


def label_of(key: str, layer: Any) -> str:
    """Name a layer, with its class where the key does not say it."""
    kind = type(layer).__name__
    return key if key.rstrip("0123456789") == kind else f"{key} ({kind})"


def _penalty(network: Sequential) -> Penalty | None:
    names = tuple(network.decayed())
    return Penalty(network.weight_decay_lambda, names) if names else None


def _operation(key: str, layer: Any, names: tuple[str, ...], flat: bool) -> Operation | None:
    """Describe a layer that is a primitive each way; `names` are those of its parameters."""
    if is_unmodified(layer, Dropout):
        options = {"ratio": layer.ratio, "key": layer.key}
        return Operation("dropout", (f"{key}.draws",), options, layer.held, "Dropout")
    whole = flat and len(names) == len(BatchNormalization.parameters)
    if whole and is_unmodified(layer, BatchNormalization):
        state = tuple(f"{key}.{attribute}" for attribute in STATE[BatchNormalization])
        options = {"momentum": layer.momentum}
        return Operation("batch_norm", state, options, label="BatchNormalization")
    return None


def _loss(last: Any) -> str | LayerCalls:
    """Name the primitive of an unmodified loss of fastnn's; give the methods of any other."""
    names = (cls.primitive for cls in LOSSES if is_unmodified(last, cls))
    return next(names, None) or _calls(last, last.backward)


def _activation(layers: list[Any], position: int) -> Activation | None:
    """Describe the activation at a position, if an Affine layer follows it, or dropout and one."""
    behind = itertools.dropwhile(lambda each: is_unmodified(each, Dropout), layers[position + 1 :])
    if not is_unmodified(next(behind, None), Affine):
        return None
    layer = layers[position]
    described = (say(layer) for cls, say in ACTIVATIONS.items() if is_unmodified(layer, cls))
    return next(described, None)


def _by_primitive(layer: activations.ActivationByPrimitive) -> Activation:
    keeps = {"out": "output", "x": "input"}[layer.kept]
    return Activation(layer.primitive, keeps, layer.numbers())


def _calls(layer: Any, backward: Callable[..., Any]) -> LayerCalls:
    users_own = not any(is_unmodified(layer, cls) for cls in CAPTURED_LAYERS)
    options = () if users_own else type(layer).options
    return LayerCalls(
        type(layer).__name__,
        training_forward(layer),
        backward,
        users_own,
        lambda: tuple(getattr(layer, name) for name in options),
    )


def _backward_of(layer: Any) -> Callable[[Array], Any]:
    """Wrap a layer's `backward`, to return its parameters' gradients along with ``dx``."""
    names = parameter_names(layer)
    if not names:
        return layer.backward  # type: ignore[no-any-return]

    def backward(dout: Array) -> tuple[Array, ...]:
        dx = layer.backward(dout)
        return (dx, *[gradient_of(layer, name) for name in names])

    return backward
