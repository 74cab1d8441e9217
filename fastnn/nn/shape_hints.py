"""What is said of inputs whose shape does not fit a network: what they seem to be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.nn.layer import is_unmodified
from fastnn.nn.layers import Affine
from fastnn.nn.network import NamedLayers

SWAPPED = "; x and t seem to be swapped: x has the inputs and comes first, then t, the targets"


def explain(error: ValueError, network: NamedLayers, x: Any, t: Any = None) -> None:
    """Let an error of a layer say what the inputs seem to be, if it is their shape that is wrong.

    Parameters are those of `about_shape`.
    """
    hint = about_shape(network, x, t)
    if not hint and len(shape_of(x)) == 1 and _features(network) not in (None, shape_of(x)[0]):
        hint = f"; x has shape {shape_of(x)}, which is taken for one sample"
    if hint and hint not in str(error):
        error.args = (f"{error}{hint}",)


def about_shape(network: NamedLayers, x: Any, t: Any = None) -> str:
    """Say what inputs of a wrong shape seem to be, and what to do; an empty text if not clear.

    Parameters
    ----------
    network : Sequential
    x, t : array_like
        As they were given, not a single number; `t` may be None where there is none.
    """
    features = _features(network)
    if features is None:
        return ""
    shape, targets = shape_of(x), shape_of(t)
    if len(shape) > 1 and math.prod(shape[1:]) == features:
        return ""
    if len(targets) > 1 and math.prod(targets[1:]) == features and targets[0] == shape[0]:
        return SWAPPED
    if len(shape) == 1 and shape[0] == features:
        return f"; for one sample pass x[None], of shape (1, {features})"
    if len(shape) == 1 and features == 1:
        return f"; for samples of one feature pass x.reshape(-1, 1), of shape ({shape[0]}, 1)"
    if len(shape) == 2 and shape[0] == features > 1:
        return "; samples are rows: pass x.T if these are columns"
    return ""


def _features(network: NamedLayers) -> int | None:
    """Tell how many numbers a sample has, if the first layer says so."""
    first = next(iter(network.layers.values()), None)
    if first is None or not is_unmodified(first, Affine):
        return None
    return int(first.W.shape[0])


def shape_of(array: Any) -> tuple[int, ...]:
    """Give the shape of what was given as an array and could be read as one."""
    return tuple(array.shape) if hasattr(array, "shape") else np.shape(array)
