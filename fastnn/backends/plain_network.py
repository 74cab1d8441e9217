"""Which step plans are those of a plain network under SGD, which a backend may run as a whole.

Affine layers, with ReLU between them or not, softmax with cross-entropy, ``W -= lr * dW``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastnn.backends.plan import Step, StepPlan
from fastnn.checks import dtype_name


@dataclass(frozen=True)
class AffineLayer:
    """A layer of a plain network: the names of its parameters, and whether a ReLU follows."""

    W: str
    b: str
    relu: bool


def plain_network(plan: StepPlan) -> list[AffineLayer] | None:
    """Recognise the plan of a plain network.

    Its layers are read from the plan, and what a plan of such layers has to be is held against
    all of it: any other step, order, option or hyperparameter makes it another plan.

    Returns
    -------
    list of AffineLayer
        In order; None if the plan is anything else, or two parameters are one array.
    """
    x, t = plan.arrays["x_data"], plan.arrays["t_data"]
    if x.ndim != 2 or t.ndim != 1 or dtype_name(t) != "int64":
        return None
    layers = [
        AffineLayer(step.reads[1], step.reads[2], bool(step.options.get("relu")))
        for step in plan.steps
        if step.primitive == "affine" and len(step.reads) == 3
    ]
    parameters = [plan.arrays[name] for layer in layers for name in (layer.W, layer.b)]
    if not layers or layers[-1].relu or len(set(map(id, parameters))) < len(parameters):
        return None
    return layers if plan.steps == list(_steps(layers, plan)) else None


def _steps(layers: list[AffineLayer], plan: StepPlan) -> Iterator[Step]:
    """Give the steps that such layers have."""
    options = {"dtype": plan.dtype, "scale": plan.scale}
    yield Step("take_rows", ("x_data", "rows"), ("x:0",), options)
    yield Step("take_rows", ("t_data", "rows"), ("t",))
    x = ["x:0"]
    for layer in layers:
        position = int(x[-1].removeprefix("x:")) + 1 + layer.relu
        x.append(f"x:{position}")
        yield Step("affine", (x[-2], layer.W, layer.b), (x[-1],), {"relu": layer.relu})
    yield Step("softmax_cross_entropy", (x[-1], "t"), ("losses", "y"))
    yield Step("mean", ("losses",), ("loss",))
    yield Step("softmax_cross_entropy_backward", ("y", "t"), ("dout",))
    dout = "dout"
    for index in reversed(range(len(layers))):
        W, b = layers[index].W, layers[index].b
        options = {"relu": index > 0 and layers[index - 1].relu, "input_gradient": index > 0}
        dx = f"d{x[index]}"
        yield Step("affine_backward", (dout, x[index], W), (dx, f"d{W}", f"d{b}"), options)
        dout = dx
    for layer in layers:
        for name in (layer.W, layer.b):
            yield Step("sgd_update", (name, f"d{name}"), (name,), hyperparameters=("lr",))
