"""Which step plans the compiled training step can run: plain networks under plain SGD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnn.plan import Step, StepPlan


@dataclass(frozen=True)
class AffineLayer:
    """A layer of a plain network: the names of its parameters, and whether a ReLU follows."""

    W: str
    b: str
    relu: bool


def plain_network(plan: StepPlan) -> list[AffineLayer] | None:
    """Recognise a plan of Affine layers with ReLU between them, softmax, cross-entropy and SGD.

    Returns
    -------
    list of AffineLayer
        In order; None if the plan is anything else.
    """
    x, t = plan.arrays["x_data"], plan.arrays["t_data"]
    if x.ndim != 2 or x.dtype.kind not in "fiu" or t.ndim != 1 or t.dtype != np.int64:
        return None
    steps = iter(plan.steps)
    if not (
        _is(next(steps, None), "take_rows", "x_data") and _is(next(steps), "take_rows", "t_data")
    ):
        return None
    layers: list[AffineLayer] = []
    current = "x:0"
    for step in steps:
        if not _is(step, "affine", current):
            break
        _, W, b = step.reads
        layers.append(AffineLayer(W, b, bool(step.options["relu"])))
        (current,) = step.writes
    else:
        return None
    if not layers or layers[-1].relu:
        return None
    expected = _rest_of_plan(layers, current)
    for found in (step, *steps):
        if found.call is not None or (found.primitive, *found.reads) != next(expected, None):
            return None
    return layers if next(expected, None) is None else None


def _is(step: Step | None, primitive: str, first: str) -> bool:
    return (
        step is not None
        and step.call is None
        and step.primitive == primitive
        and step.reads[0] == first
    )


def _rest_of_plan(layers: list[AffineLayer], scores: str) -> Iterator[tuple[str, ...]]:
    """What has to come behind the forward products: primitives and what they read."""
    yield "softmax_cross_entropy", scores, "t"
    yield "mean", "losses"
    yield "softmax_cross_entropy_backward", "y", "t"
    x = ["x:0"]
    for layer in layers:
        x.append(f"x:{int(x[-1].partition(':')[2]) + 1 + layer.relu}")
    dout = "dout"
    for index in reversed(range(len(layers))):
        yield "affine_backward", dout, x[index], layers[index].W
        dout = f"d{x[index]}"
    for layer in layers:
        yield "sgd_update", layer.W, f"d{layer.W}"
        yield "sgd_update", layer.b, f"d{layer.b}"
