"""What says how good answers are, besides the loss: accuracy, R2, or nothing.

A loss says it by its attribute `measure`. One of the user's own that has none, as the book's, is
taken for a loss of classes.
"""

from __future__ import annotations

from typing import Any

from fastnn.backends.base import Backend
from fastnn.nn.loss import Loss
from fastnn.nn.losses import MeanSquaredError, SoftmaxWithLoss
from fastnn.wording import shown

JUDGES: dict[str, type[Loss]] = {"accuracy": SoftmaxWithLoss, "R2": MeanSquaredError}
"""What judges answers for a loss of the user's own, by its `measure`."""


def says_nothing(loss: Any) -> bool:
    """Whether a loss does not say what answers are measured by."""
    return not hasattr(loss, "measure")


def measure_of(loss: Any) -> str | None:
    """Name what answers are measured by; None if by nothing but the loss.

    Raises
    ------
    ValueError
        If the `measure` of a loss is nothing that is known.
    """
    measure = getattr(loss, "measure", "accuracy")
    if measure is not None and not (isinstance(measure, str) and measure in JUDGES):
        names = ", ".join(map(repr, JUDGES))
        raise ValueError(
            f"measure of the loss {type(loss).__name__} is {shown(measure)}: expected {names}, or "
            "None where nothing but the loss tells how good answers are"
        )
    return measure


def judge_of(loss: Any, backend: Backend) -> Loss:
    """Give what checks targets and tells good answers; it is the loss itself if that can.

    Raises
    ------
    TypeError
        If nothing does.
    ValueError
        See `measure_of`.
    """
    measure = measure_of(loss)
    if measure is None:
        raise TypeError(
            f"the loss {type(loss).__name__} does not say which answers are good (its measure is "
            "None): there is no accuracy and no score; network.loss(x, t) gives the loss of them"
        )
    if isinstance(loss, Loss):
        return loss
    judge = JUDGES[measure]()
    judge.backend = backend
    return judge


def hint_for(loss: Any) -> str:
    """Say what to write where a loss that says nothing was given other targets than classes."""
    if not says_nothing(loss):
        return ""
    return (
        f"; the loss {type(loss).__name__} has no measure, so that it is taken for one of classes: "
        "write measure = None in its class if its targets are others"
    )
