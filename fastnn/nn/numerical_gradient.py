"""The gradient of any function of an array by central differences."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, to_numpy
from fastnn.backends.base import Backend
from fastnn.backends.selection import backend_of
from fastnn.checks import check_rate, dtype_name, is_read_only
from fastnn.wording import shown

STEP = 1e-4
"""The book's ``h``: half of the distance between the two points of a central difference."""


STEP_IN_FLOAT32 = 1e-3
"""The same where results have the digits of float32; more would jump over the kinks of ReLU."""


GOOD = 2e-3
"""What rounding may change of a gradient, relative to its largest entry, without a warning."""


def numerical_gradient(f: Callable[[Array], Any], x: Array, *, h: float | None = None) -> Array:
    """Gradient of a function by central differences.

    Parameters
    ----------
    f : callable
        Takes `x` and gives a number. It may as well read `x` from outside: the entries of `x`
        itself are changed, one after the other, and restored to the last bit, also when `f`
        raises.
    x : array of float32 or float64
        Where the gradient is taken; any shape, any layout, on any backend, writable.
    h : float, optional
        Half of the distance between the two points: by default the book's 1e-4, and 1e-3 where
        `f` gives float32, which has too few digits for less.

    Returns
    -------
    array
        ``(f(x + h) - f(x - h)) / ((x + h) - (x - h))`` for each entry, in float64, of the shape of
        `x`, on its backend. The denominator is what the dtype of `x` made of ``2 h``.

    Raises
    ------
    TypeError
        If `x` is no array, or not of float32 or float64 (the entries of an integer array cannot
        be changed by `h`).
    ValueError
        If `h` is not finite and positive, `x` is read-only, `f` gives something else than one
        number, or an entry is so large that adding `h` does not change it.

    Warns
    -----
    RuntimeWarning
        If `x` is of float32 and rounding may change the gradient by more than two thousandths of
        its largest entry: it needs float64.

    Notes
    -----
    The loss of a network in float32, ``network.loss(x, t)``, has the digits that this needs: the
    gradient by a parameter is good to about 2e-3 of its largest entry, unless scores are large.
    `Sequential.numerical_gradient` is evaluated in float64 throughout.
    """
    backend = backend_of(x)
    _check_differentiable(x, backend)
    if h is not None and check_rate(h, "h") == 0:
        raise ValueError("h must be greater than 0")
    values = np.empty(tuple(x.shape))
    middle, rounded = None, False
    if dtype_name(x) == "float32" and values.size:
        middle = _number(f(x))
        rounded = _is_float32(middle)
    step = (STEP_IN_FLOAT32 if rounded else STEP) if h is None else check_rate(h, "h")
    uneven = 0.0
    for index in np.ndindex(*x.shape):
        before = backend.copy(x[index])  # a view, on some backends
        at = float(before)
        try:
            x[index] = at + step
            above, result_above = float(x[index]), _number(f(x))
            x[index] = at - step
            below, result_below = float(x[index]), _number(f(x))
        finally:
            x[index] = before
        if above == below:
            raise ValueError(
                f"x[{index}] is {at}: adding h = {step} does not change it in {dtype_name(x)}; "
                "use float64 or a larger h"
            )
        values[index] = (result_above - result_below) / (above - below)
        rounded = rounded and _is_float32(result_above) and _is_float32(result_below)
        if middle is not None:
            uneven = max(uneven, abs(result_above + result_below - 2 * middle))
    if middle is not None:
        unit = float(np.spacing(np.float32(abs(middle)))) if rounded else 0.0
        _warn_of_rounding(values, max(unit, uneven / math.sqrt(3)) / (2 * step))
    return backend.asarray(values)


def _is_float32(result: float) -> bool:
    """Whether a number has no more digits than float32 has."""
    with np.errstate(over="ignore"):
        return math.isfinite(result) and float(np.float32(result)) == result


def _warn_of_rounding(gradient: np.ndarray[Any, Any], error: float) -> None:
    """Warn if results in float32 are too coarse for the gradient, by an estimate of its error.

    That is the last digit of a result, or how far the result in the middle of two is from their
    mean: next to nothing, but for rounding and where a ReLU has its kink between them. (Of errors
    of three results that are alike, the sum that it is has the square root of 3 times as much as
    the difference of two.)
    """
    scale = float(np.max(np.abs(gradient), initial=0.0))
    if error > GOOD * scale:
        part = f"{error / scale:.0e} of its largest entry" if scale else "all that it is"
        warnings.warn(
            f"this gradient in float32 may be off by {part}: it needs float64, for x and for all "
            "that f computes, as of network.astype('float64'); network.numerical_gradient does so",
            RuntimeWarning,
            stacklevel=3,
        )


def _check_differentiable(x: Array, backend: Backend) -> None:
    if not backend.owns(x) or isinstance(x, np.generic):
        raise TypeError(
            f"numerical_gradient changes x in place: it must be an array, got {shown(x)}"
        )
    name = dtype_name(x)
    if name not in ("float32", "float64"):
        raise TypeError(
            f"x has dtype {name}, whose entries cannot be changed by a small step: "
            "pass x.astype('float64')"
        )
    if is_read_only(x):
        raise ValueError("numerical_gradient changes x in place, and x is read-only: pass x.copy()")


def _number(result: object) -> float:
    try:
        array = to_numpy(result)
    except TypeError:
        raise ValueError(f"f must give one real number, got {shown(result)}") from None
    if array.size != 1 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"f must give one real number, got shape {array.shape} of {array.dtype.name}"
        )
    return float(array.reshape(()))
