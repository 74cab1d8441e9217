"""The step plan: one training step of a network, laid out once as a flat list of steps.

Each step names a primitive of the backend and the arrays that it reads and writes, by name. What
no layer should know is decided here: the first layer needs no input gradient; a ReLU between two
Affine layers is computed with the one before it, and taken back with the one behind it. A layer
that is not one of fastnn's own takes part by its `forward`, in training mode, and `backward`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.plan import Step, StepPlan
from fastnn.nn.layer import gradient_of, is_plain, parameter_names
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.losses import SoftmaxWithLoss
from fastnn.nn.modes import training_forward
from fastnn.nn.optimizers import Optimizer
from fastnn.nn.sequential import Sequential


@dataclass(frozen=True)
class _Block:
    """A stretch of layers that the plan treats as one: Affine, Affine with ReLU, or any layer."""

    layer: Any
    names: tuple[str, ...]  # of its parameters
    x: str
    affine: bool
    relu: bool


def make_plan(
    network: Sequential,
    x: Array,
    t: Array,
    optimizer: Optimizer,
    batch_size: int,
    scale: float = 1.0,
) -> StepPlan:
    """Lay out a training step.

    Parameters
    ----------
    network : Sequential
        Its parameters are used as they are, and updated in place.
    x : array (K, ...), on the network's backend
        The data set; each batch is cast to the network's dtype as it is gathered.
    t : array (K, ...), on the network's backend
        Labels as indices of classes, int64, or whatever a loss layer of the user's own takes.
    optimizer : Optimizer
        Says how a parameter is updated.
    batch_size : int
        The largest batch.
    scale : float, optional
        What `x` is multiplied by as a batch is gathered.
    """
    owners = network.owners()
    parameters = {name: getattr(layer, attribute) for name, (layer, attribute) in owners.items()}
    layers = list(network.layers.values())
    if layers and isinstance(layers[0], Affine):
        x = network.backend.xp.reshape(x, (x.shape[0], -1))
    plan = StepPlan(network.dtype, batch_size, scale, {"x_data": x, "t_data": t, **parameters})

    plan.add_batch("x:0", tuple(x.shape[1:]))
    options = {"dtype": network.dtype, "scale": scale}
    plan.steps.append(Step("take_rows", ("x_data", "rows"), ("x:0",), options))
    plan.steps.append(Step("take_rows", ("t_data", "rows"), ("t",)))
    blocks, scores = _forward(plan, layers, owners)
    dout = _loss(plan, network.last_layer, scores)
    _backward(plan, blocks, dout)
    for name in parameters:
        plan.arrays.update(optimizer.state_for(name, parameters[name], network.backend))
        plan.steps.append(optimizer.step(name, f"d{name}"))
    return plan


def _forward(
    plan: StepPlan, layers: list[Any], owners: Mapping[str, tuple[Any, str]]
) -> tuple[list[_Block], str]:
    blocks: list[_Block] = []
    current, flat = "x:0", len(plan.shapes["x:0"][0]) == 2
    position = 0
    while position < len(layers):
        layer = layers[position]
        names = tuple(name for name, (owner, _) in owners.items() if owner is layer)
        affine = is_plain(layer, Affine) and len(names) == len(Affine.parameters) and flat
        relu = (
            affine
            and position + 2 < len(layers)
            and is_plain(layers[position + 1], Relu)
            and is_plain(layers[position + 2], Affine)
        )
        position += 2 if relu else 1
        out = f"x:{position}"
        blocks.append(_Block(layer, names, current, affine, relu))
        if affine:
            plan.add_batch(out, (layer.W.shape[1],))
            plan.steps.append(Step("affine", (current, *names), (out,), {"relu": relu}))
        else:
            plan.steps.append(Step("forward", (current,), (out,), call=training_forward(layer)))
        current, flat = out, type(layer) is Affine or (flat and type(layer) is Relu)
    return blocks, current


def _loss(plan: StepPlan, last_layer: Any, scores: str) -> str:
    if not is_plain(last_layer, SoftmaxWithLoss):
        call = training_forward(last_layer)
        plan.steps.append(Step("forward", (scores, "t"), ("loss",), call=call))
        plan.steps.append(Step("backward", (), ("dout",), call=last_layer.backward))
        return "dout"
    plan.shapes["loss"] = ((), plan.dtype)
    if scores in plan.shapes:
        width = plan.shapes[scores][0][1:]
        for name in ("y", "dout"):
            plan.add_batch(name, width)
        plan.add_batch("losses", ())
    plan.steps.append(Step("softmax_cross_entropy", (scores, "t"), ("losses", "y")))
    plan.steps.append(Step("mean", ("losses",), ("loss",)))
    plan.steps.append(Step("softmax_cross_entropy_backward", ("y", "t"), ("dout",)))
    return "dout"


def _backward(plan: StepPlan, blocks: list[_Block], dout: str) -> None:
    for index in reversed(range(len(blocks))):
        block = blocks[index]
        dx = f"d{block.x}"
        gradients = tuple(f"d{name}" for name in block.names)
        if not block.affine:
            call = _backward_of(block.layer)
            plan.steps.append(Step("backward", (dout,), (dx, *gradients), call=call))
        else:
            first = index == 0
            for gradient, name in zip(gradients, block.names, strict=True):
                plan.add_like(gradient, name)
            if not first:
                plan.add_batch(dx, (block.layer.W.shape[0],))
            W = block.names[0]
            after_relu = not first and blocks[index - 1].relu
            options = {"relu": after_relu, "input_gradient": not first}
            reads, writes = (dout, block.x, W), (dx, *gradients)
            plan.steps.append(Step("affine_backward", reads, writes, options))
        dout = dx


def _backward_of(layer: Any) -> Callable[[Array], Any]:
    """Make of a layer's `backward` one that gives its parameters' gradients along with ``dx``."""
    names = parameter_names(layer)
    if not names:
        return layer.backward  # type: ignore[no-any-return]

    def backward(dout: Array) -> tuple[Array, ...]:
        dx = layer.backward(dout)
        return (dx, *[gradient_of(layer, name) for name in names])

    return backward
