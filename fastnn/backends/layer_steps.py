"""The steps of layers that are a primitive each way: batch normalisation, dropout.

What such a layer keeps for itself, as running averages, are arrays of the plan that its steps
change in place.
"""

from __future__ import annotations

from fastnn.backends.plan import Block, Operation, Step, StepPlan


def forward_steps(plan: StepPlan, index: int, block: Block, operation: Operation, out: str) -> None:
    """Add the steps of block `index` forward, to the buffer `out`."""
    x, options = f"x:{index}", operation.options
    if operation.name == "batch_norm":
        units = tuple(plan.arrays[block.parameters[0]].shape)
        writes = (plan.add_batch(out, units), plan.add_batch(f"xn:{index + 1}", units))
        of_units = [f"{kind}:{index + 1}" for kind in ("std", "mean", "var")]
        plan.shapes.update((name, (units, plan.dtype)) for name in of_units)
        plan.steps.append(Step("batch_norm", (x, *block.parameters), (*writes, *of_units)))
        for average, value in zip(operation.state, of_units[1:], strict=True):
            plan.steps.append(Step("moving_average", (average, value), (average,), options))
        return
    (draws,) = operation.state
    mask = f"mask:{index + 1}"
    if x in plan.shapes:  # else it is not known yet
        shape = plan.shapes[x][0][1:]
        plan.add_batch(out, shape)
        plan.add_batch(mask, shape, "bool")
    plan.steps.append(Step("dropout", (x, draws), (out, mask), options))
    if not operation.held:
        plan.steps.append(Step("count", (draws,), (draws,)))


def backward_steps(
    plan: StepPlan, index: int, block: Block, operation: Operation, dout: str
) -> str:
    """Add the steps of block `index` backward; give the name of the gradient by its input."""
    dx, gradients = f"dx:{index}", tuple(f"d{name}" for name in block.parameters)
    if operation.name == "batch_norm":
        plan.add_batch(dx, tuple(plan.arrays[block.parameters[0]].shape))
        for gradient, name in zip(gradients, block.parameters, strict=True):
            plan.add_like(gradient, name)
        reads = (dout, block.parameters[0], f"xn:{index + 1}", f"std:{index + 1}")
        plan.steps.append(Step("batch_norm_backward", reads, (dx, *gradients)))
        return dx
    if f"x:{index}" in plan.shapes:
        plan.add_batch(dx, plan.shapes[f"x:{index}"][0][1:])
    plan.steps.append(Step("dropout_backward", (dout, f"mask:{index + 1}"), (dx,)))
    return dx
