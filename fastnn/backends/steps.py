"""The flat list of steps that follows from a chain: which primitive reads and writes what.

What no layer should know is decided here. The first layer needs no input gradient; an activation is
computed behind the layer before it, and differentiated before that: ReLU, which costs less than a
pass over memory, in the calls of `affine` and `affine_backward` themselves. The names of buffers
are made here: ``x:0`` is the batch, ``x:1`` what the first block gives and ``a:1`` its output
before the activation, ``dx:1`` and ``da:1`` the gradients by these, ``dW1`` the gradient by the
parameter W1, ``scaled:dW1`` and ``decayed:dW1`` what clipping and weight decay make of it. Where
samples have weights, ``w``, ``unweighted:dout`` is the gradient without them, which differ in
``weighted:losses`` and ``dout``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.layer_steps import backward_steps, forward_steps
from fastnn.backends.plan import (
    LOSSES,
    Activation,
    Block,
    Penalty,
    Rule,
    Step,
    StepPlan,
    state_name,
)
from fastnn.backends.sparse_rows import SparseRows, take_rows


def lay_out(plan: StepPlan) -> None:
    """Fill a plan's steps and buffers from its chain."""
    x = plan.add_batch("x:0", tuple(plan.arrays["x_data"].shape[1:]))
    options = {"dtype": plan.dtype, "scale": plan.scale}
    take = take_rows if isinstance(plan.arrays["x_data"], SparseRows) else None
    plan.steps.append(Step("take_rows", ("x_data", "rows"), (x,), options, call=take))
    plan.steps.append(Step("take_rows", ("t_data", "rows"), ("t",)))
    if plan.chain.weighted:
        plan.steps.append(Step("take_rows", ("w_data", "rows"), ("w",)))
    for index, block in enumerate(plan.chain.blocks):
        _forward(plan, index, block)
    dout = _loss(plan, f"x:{len(plan.chain.blocks)}")
    for index in reversed(range(len(plan.chain.blocks))):
        dout = _backward(plan, index, dout)
    _update(plan)


def _forward(plan: StepPlan, index: int, block: Block) -> None:
    x, out = f"x:{index}", f"x:{index + 1}"
    if block.layer is not None:
        forward = block.layer.forward
        plan.steps.append(Step("forward", (x,), (out,), call=forward, layer=block.layer))
        return
    activation, sums = block.activation, out
    fused = block.is_affine and _is_relu(activation)
    if activation is not None and not fused:
        sums = f"a:{index + 1}"
    if block.operation is not None:
        forward_steps(plan, index, block, block.operation, sums)
    else:
        plan.add_batch(sums, (block.units,))
        plan.steps.append(Step("affine", (x, *block.parameters), (sums,), {"relu": fused}))
    if activation is not None and not fused:
        plan.add_batch(out, plan.shapes[sums][0][1:])
        plan.steps.append(Step(activation.name, (sums,), (out,), activation.options))


def _is_relu(activation: Activation | None) -> bool:
    """Whether it is ReLU, through which the Affine layer behind it takes the gradient."""
    return activation is not None and activation.name == "relu"


def _loss(plan: StepPlan, scores: str) -> str:
    loss, penalty = plan.chain.loss, plan.chain.penalty
    mean = "loss" if penalty is None else "mean"
    if not isinstance(loss, str):
        targets = ("t", "w") if plan.chain.weighted else ("t",)
        plan.steps += [
            Step("forward", (scores, *targets), (mean,), call=loss.forward, layer=loss),
            Step("backward", (), ("dout",), call=loss.backward, layer=loss),
        ]
    else:
        _known_loss(plan, loss, scores, mean)
    if penalty is not None:
        plan.shapes["loss"] = ((), plan.dtype)
        reads = mean, *penalty.parameters
        options, numbers = _weight_decay(penalty)
        options |= {} if penalty.times == 1 else {"times": penalty.times}
        plan.steps.append(Step("penalised", reads, ("loss",), options, numbers))
    return "dout"


def _weight_decay(penalty: Penalty) -> tuple[dict[str, float], tuple[str, ...]]:
    """Give the options and the hyperparameters of a step that reads the factor of a penalty."""
    if penalty.weight_decay is None:
        return {}, ("weight_decay",)
    return {"weight_decay": penalty.weight_decay}, ()


def _known_loss(plan: StepPlan, loss: str, scores: str, mean: str) -> None:
    writes, weighted = LOSSES[loss], plan.chain.weighted
    losses, dout = ("weighted:losses", "unweighted:dout") if weighted else ("losses", "dout")
    plan.shapes[mean] = ((), plan.dtype)
    if scores in plan.shapes:
        width = plan.shapes[scores][0][1:]
        for name in dict.fromkeys(("dout", dout, losses, *writes)):
            plan.add_batch(name, () if name.endswith("losses") else width)
    answers = "y" if "y" in writes else scores
    plan.steps.append(Step(loss, (scores, "t"), writes))
    if weighted:
        plan.steps.append(Step("weighted", ("losses", "w"), (losses,)))
    plan.steps.append(Step("mean", (losses,), (mean,)))
    plan.steps.append(Step(f"{loss}_backward", (answers, "t"), (dout,)))
    if weighted:
        plan.steps.append(Step("weighted", (dout, "w"), ("dout",)))


def _backward(plan: StepPlan, index: int, dout: str) -> str:
    block = plan.chain.blocks[index]
    x, dx = f"x:{index}", f"dx:{index}"
    gradients = tuple(map(_gradient, block.parameters))
    if block.layer is not None:
        backward = block.layer.backward
        writes = (dx, *gradients)
        plan.steps.append(Step("backward", (dout,), writes, call=backward, layer=block.layer))
        return dx
    activation = block.activation
    if activation is not None and not _is_relu(activation):
        out, sums, da = f"x:{index + 1}", f"a:{index + 1}", f"da:{index + 1}"
        kept = out if activation.keeps == "output" else sums
        plan.add_batch(da, plan.shapes[sums][0][1:])
        plan.steps.append(
            Step(f"{activation.name}_backward", (dout, kept), (da,), activation.options)
        )
        dout = da
    if block.operation is not None:
        return backward_steps(plan, index, block, block.operation, dout)
    for gradient, name in zip(gradients, block.parameters, strict=True):
        plan.add_like(gradient, name)
    W = block.parameters[0]
    if index > 0:
        plan.add_batch(dx, (int(plan.arrays[W].shape[0]),))
    options = {"relu": _is_relu(_activation_before(plan, index)), "input_gradient": index > 0}
    plan.steps.append(Step("affine_backward", (dout, x, W), (dx, *gradients), options))
    return dx


def _activation_before(plan: StepPlan, index: int) -> Activation | None:
    """Give what the input of a block has gone through; what dropout leaves has its sign or is 0."""
    blocks = plan.chain.blocks[:index]
    return next((block.activation for block in reversed(blocks) if not block.drops), None)


def _whole_gradients(plan: StepPlan) -> dict[str, str]:
    """Add the gradients of the penalty; name the gradient of the loss by each parameter."""
    gradients = {name: _gradient(name) for name in plan.chain.parameters}
    penalty = plan.chain.penalty
    if penalty is not None:
        for name in penalty.parameters:
            reads, whole = (gradients[name], name), plan.add_like(f"penalised:{name}", name)
            plan.steps.append(Step("decayed_gradient", reads, (whole,), *_weight_decay(penalty)))
            gradients[name] = whole
    return gradients


def _update(plan: StepPlan) -> None:
    names, update, gradients = plan.chain.parameters, plan.chain.update, _whole_gradients(plan)
    if not isinstance(update, Rule):
        reads = (*names, *gradients.values())
        plan.steps.append(Step("update", reads, names, call=_on_dictionaries(update, names)))
        return
    if plan.chain.clips:
        plan.shapes["factor"] = ((), plan.dtype)
        norm, whole = ("clip_norm",), tuple(gradients.values())
        plan.steps.append(Step("clip_factor", whole, ("factor",), hyperparameters=norm))
    for name, dW in gradients.items():
        if plan.chain.clips:
            scaled = plan.add_like(f"scaled:{dW}", name)
            plan.steps.append(Step("scaled_gradient", (dW, "factor"), (scaled,)))
            dW = scaled
        if name in plan.chain.decayed:
            dW = _decay(plan, update, name, dW)
        state = tuple(state_name(each, name) for each in update.state)
        reads, writes = (name, dW, *state), (name, *state)
        numbers = update.hyperparameters
        plan.steps.append(Step(update.primitive, reads, writes, hyperparameters=numbers))


def _decay(plan: StepPlan, update: Rule, name: str, dW: str) -> str:
    """Let a parameter decay; give the gradient by which it is to be updated."""
    if update.decouples_decay:
        both = ("lr", "weight_decay")
        plan.steps.append(Step("decay_weights", (name,), (name,), hyperparameters=both))
        return dW
    decayed = plan.add_like(f"decayed:{dW}", name)
    plan.steps.append(
        Step("decayed_gradient", (dW, name), (decayed,), hyperparameters=("weight_decay",))
    )
    return decayed


def _gradient(parameter: str) -> str:
    return f"d{parameter}"


def _on_dictionaries(
    update: Callable[[dict[str, Array], dict[str, Array]], None], names: tuple[str, ...]
) -> Callable[..., tuple[Array, ...]]:
    """Give an update of dictionaries as a step that changes the plan's own arrays.

    Where it puts a new array in the place of a parameter, the numbers are copied.
    """

    def step(*arrays: Array) -> Any:
        own = dict(zip(names, arrays, strict=False))
        params = dict(own)
        update(params, dict(zip(names, arrays[len(names) :], strict=True)))
        for name, array in own.items():
            if params.get(name) is not array:
                array[...] = params[name]
        changed = tuple(own.values())
        return changed if len(changed) > 1 else changed[0]

    return step
