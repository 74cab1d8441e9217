"""What a network is to learn: labels and numbers, checked where a user's call enters.

Each loss says which of the two it takes; see `fastnn.nn.loss`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.base import Backend
from fastnn.backends.selection import load_backend
from fastnn.nn.validation import RAVEL, beyond, bits_as_bytes, real_array

MANY_CLASSES = 1000
"""More than these are rather a mistake in the labels than a network that is too small."""

GAP = "; NaN is a gap: leave such samples out, as with x[~np.isnan(t)], t[~np.isnan(t)]"


class Targets(NamedTuple):
    """Targets that have been checked, which the type tells: a loss does not check them again.

    Attributes
    ----------
    array : array (N,) of int64, or (N, C) of floats
        The class of each sample, or a number for each output, where the network computes.
    """

    array: Array


def check_labels(
    t: object, samples: int, classes: int, backend: Backend, *, name: str = "t"
) -> Targets:
    """Check labels, given as indices of classes (N,) or one-hot (N, C), and bring them to a device.

    What is given back is an array of its own, and that is what was checked: whatever becomes of `t`
    later, or meanwhile in another thread, no index is out of range.

    Raises
    ------
    TypeError
        If they are no real numbers.
    ValueError
        If there is not one label for each sample, an index is not an integer in ``0 <= t < C``,
        or a row is not one-hot.
    """
    if isinstance(t, Targets):
        return t
    labels = real_array(t, backend, name)[...]  # a view of our own, which keeps shape and dtype
    labels = bits_as_bytes(labels)
    shape = tuple(labels.shape)
    if shape in ((samples,), (samples, classes)):
        home = backend if backend.owns(labels) else load_backend("numpy")
        indices = home.label_indices(labels, classes)
        if indices is None:
            raise _no_label(labels, classes, home, name)
        return Targets(backend.asarray(indices, "int64"))
    if math.prod(shape) == samples:
        raise ValueError(
            f"labels {name} have shape {shape}, but there are {samples} samples and {classes} "
            f"classes: expected ({samples},), or one-hot ({samples}, {classes}); pass {RAVEL}"
        )
    if labels.ndim == 2 and shape[0] == samples:
        raise ValueError(
            f"one-hot labels {name} have shape {shape}, but there are {classes} classes: "
            f"expected ({samples}, {classes}), or indices of shape ({samples},)"
        )
    raise ValueError(
        f"labels {name} have shape {shape}, but there are {samples} samples and {classes} classes: "
        f"expected ({samples},), or one-hot ({samples}, {classes})"
    )


def _no_label(labels: Array, classes: int, home: Backend, name: str) -> ValueError:
    """Find the first invalid label by bisection, and make the error that names it."""
    first, behind = 0, labels.shape[0]
    while behind - first > 1:
        middle = (first + behind) // 2
        if home.label_indices(labels[first:middle, ...], classes) is None:
            behind = middle
        else:
            first = middle
    found = host_array(labels[first : first + 1, ...])[0]
    hint = _about_labels(host_array(labels), classes)
    if labels.ndim == 2:
        return ValueError(f"row {first} of {name} is not one-hot (one 1, else 0): {found}{hint}")
    return ValueError(
        f"label {name}[{first}] is {found}: labels are integers from 0 to {classes - 1} "
        f"({classes} class{'es' if classes > 1 else ''}){hint}"
    )


def _about_labels(labels: np.ndarray[Any, Any], classes: int) -> str:
    """Say what invalid labels seem to be, and what to do; an empty text if that is not clear."""
    if classes == 1:
        return (
            "; there is one output unit, whose softmax is 1 whatever x is: make the network with "
            "one output for each class, output_size=2 for labels 0 and 1, or give it the loss of "
            "one, network.lastLayer = fastnn.SigmoidWithLoss()"
        )
    if labels.ndim == 2:
        return ""
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        return GAP
    least, largest = labels.min(), labels.max()
    if least == 1 and largest == classes:
        return "; they seem to count from 1: pass t - 1"
    if least == -1 and largest == 1 and not (labels == 0).any():
        return "; for -1 and 1 pass (t + 1) // 2"
    if least >= 0 and classes <= largest < MANY_CLASSES and (labels == np.floor(labels)).all():
        return f"; for labels up to {int(largest)} the network needs {int(largest) + 1} outputs"
    return ""


def check_numbers(
    t: object,
    shape: tuple[int, int],
    backend: Backend,
    dtype: str,
    *,
    needs: str,
    between: tuple[float, float] | None = None,
    name: str = "t",
) -> Targets:
    """Check a number for each output, given as (N, C), or (N,) where there is one output.

    What is given back is an array (N, C) of its own in `dtype`, and that is what was checked.

    Parameters
    ----------
    t : array_like
    shape : tuple of int
        Samples N and outputs C.
    backend, dtype : Backend, str
        Where the array is to be, and in what.
    needs : str
        What is said of numbers that do not fit, as "MeanSquaredError needs finite targets".
    between : tuple of float, optional
        The least and the largest number; by default the finite ones of `dtype`.
    name : str, optional
        What errors call `t`.

    Raises
    ------
    TypeError
        If they are no real numbers.
    ValueError
        If there is not one number for each output of each sample, or one is out of range or NaN.
    """
    if isinstance(t, Targets):
        return t
    given = real_array(t, backend, name)[...]  # a view of our own, which keeps shape and dtype
    found, (samples, outputs) = tuple(given.shape), shape
    if found != shape and (found, outputs) != ((samples,), 1):
        raise _other_shape(found, samples, outputs, name)
    with np.errstate(over="ignore"):  # beyond float32: infinity, which is refused below
        numbers = backend.copy(backend.asarray(bits_as_bytes(given), dtype))
    xp = backend.xp
    largest = float(xp.finfo(numbers.dtype).max)
    least, most = between or (-largest, largest)
    if not bool(xp.all((numbers >= least) & (numbers <= most))):
        raise _no_number(given, numbers, least, most, needs, name)
    return Targets(xp.reshape(numbers, shape))


def _other_shape(found: tuple[int, ...], samples: int, outputs: int, name: str) -> ValueError:
    hint = ""
    if found == (samples,):
        hint = (
            "; for one of several classes a sample take SoftmaxWithLoss, or rows with one 1, "
            f"fastnn.one_hot({name}, {outputs})"
        )
    elif math.prod(found) == samples * outputs:
        hint = f"; pass {name}.reshape({samples}, {outputs})"
    column = f", or ({samples},)" if outputs == 1 else ""
    return ValueError(
        f"targets {name} have shape {found}, but there are {samples} samples and {outputs} "
        f"output{'' if outputs == 1 else 's'}: expected ({samples}, {outputs}){column}{hint}"
    )


def _no_number(
    given: Array, numbers: Array, least: float, most: float, needs: str, name: str
) -> ValueError:
    """Name the first number that does not fit, in the words of what was given."""
    values, cast = host_array(given), host_array(numbers)
    index = tuple(np.argwhere(~((cast >= least) & (cast <= most)))[0].tolist())
    cast_to = ""
    if np.isfinite(values[index]) and not np.isfinite(cast[index]):
        cast_to = beyond(cast.dtype.name)
    place = ", ".join(map(str, index))
    hint = _about_numbers(values, (least, most))
    return ValueError(f"{name}[{place}] is {values[index]}{cast_to}: {needs}{hint}")


def _about_numbers(values: np.ndarray[Any, Any], between: tuple[float, float]) -> str:
    """Say what numbers out of range seem to be, and what to do; an empty text if not clear."""
    if np.isnan(values).any():
        return GAP if values.ndim == 1 else GAP.replace("isnan(t)", "isnan(t).any(axis=1)")
    if between != (0, 1) or not (values == np.floor(values)).all():
        return ""
    least, largest = values.min(), values.max()
    if least == -1 and largest == 1 and not (values == 0).any():
        return "; for -1 and 1 pass (t + 1) / 2"
    if least == 1 and largest == 2:
        return "; they seem to count from 1: pass t - 1"
    if least >= 0 and largest < MANY_CLASSES:
        return f"; for classes from 0 to {int(largest)} take SoftmaxWithLoss"
    return ""
