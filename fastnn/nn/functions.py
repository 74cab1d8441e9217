"""Functions of arrays: they compute where their array lives, and give an array there."""

from __future__ import annotations

import math

from fastnn.backends.arrays import Array, to_numpy
from fastnn.backends.base import Backend
from fastnn.backends.selection import backend_of
from fastnn.checks import (
    check_count,
    check_one_hot_size,
    common_dtype,
)
from fastnn.nn.targets import check_labels
from fastnn.nn.validation import real_array


def softmax(x: object) -> Array:
    """Softmax over the last axis.

    Parameters
    ----------
    x : array_like (..., C)
        Scores, of any real dtype and any finite size.

    Returns
    -------
    array (..., C)
        ``exp(x) / sum(exp(x))``, computed with ``x - max(x)``; float32 for float32 and float16,
        else float64; on the backend of `x`.

    Raises
    ------
    TypeError
        If `x` holds no real numbers.
    ValueError
        If `x` is a single number, or its last axis is empty.
    """
    backend = backend_of(x)
    scores = _real(x, backend, "x")
    if scores.ndim == 0 or scores.shape[-1] == 0:
        raise ValueError(f"softmax: x has shape {tuple(scores.shape)}: expected (..., C)")
    return backend.softmax(scores)


def sigmoid(x: object) -> Array:
    """``1 / (1 + exp(-x))``, for each number.

    Parameters
    ----------
    x : array_like
        Of any shape and real dtype; any finite size.

    Returns
    -------
    array, of the shape of `x`
        float32 for float32 and float16, else float64; on the backend of `x`.

    Raises
    ------
    TypeError
        If `x` holds no real numbers.
    """
    backend = backend_of(x)
    return backend.sigmoid(_real(x, backend, "x"))


def sigmoid_grad(x: object) -> Array:
    """Derivative of `sigmoid`, ``(1 - sigmoid(x)) * sigmoid(x)``, for each number.

    Parameters
    ----------
    x : array_like
        See `sigmoid`.

    Returns
    -------
    array, of the shape of `x`
        As `sigmoid` gives it.
    """
    backend = backend_of(x)
    y = backend.sigmoid(_real(x, backend, "x"))
    return backend.sigmoid_backward(backend.xp.ones_like(y), y)


def relu(x: object) -> Array:
    """``max(x, 0)``, for each number; NaN stays NaN.

    Parameters
    ----------
    x : array_like
        See `sigmoid`.

    Returns
    -------
    array, of the shape of `x`
        As `sigmoid` gives it.
    """
    backend = backend_of(x)
    return backend.relu(_real(x, backend, "x"))


def identity_function(x: object) -> Array:
    """``x``, what the book's networks for regression end with.

    Parameters
    ----------
    x : array_like
        Of real numbers.

    Returns
    -------
    array
        An array is given back itself.

    Raises
    ------
    TypeError
        If `x` holds no real numbers.
    """
    return real_array(x, backend_of(x), "x")


def step_function(x: object) -> Array:
    """1 where x is positive, else 0, for each number.

    Parameters
    ----------
    x : array_like
        Of any shape and real dtype.

    Returns
    -------
    array of int64, of the shape of `x`
        On the backend of `x`.

    Raises
    ------
    TypeError
        If `x` holds no real numbers.
    """
    backend = backend_of(x)
    return backend.astype(backend.xp.asarray(real_array(x, backend, "x") > 0), "int64")


def sum_squared_error(y: object, t: object) -> Array:
    """Half the sum of squared differences, ``0.5 * sum((y - t)**2)``.

    Parameters
    ----------
    y, t : array_like
        Outputs and targets of one shape, of any real dtype; one-hot labels, for classes.

    Returns
    -------
    array ()
        The sum over everything, the book's: not divided by the number of samples. float32 if `y`
        and `t` are float32 or float16, else float64; on the backend of `y`.

    Raises
    ------
    TypeError
        If an array holds no real numbers.
    ValueError
        If the shapes differ: NumPy would stretch one of the arrays to that of the other.
    """
    backend = backend_of(y)
    outputs, targets = real_array(y, backend, "y"), real_array(t, backend, "t")
    if tuple(outputs.shape) != tuple(targets.shape):
        raise ValueError(
            f"sum_squared_error: y has shape {tuple(outputs.shape)} and t {tuple(targets.shape)}: "
            "expected the same; fastnn.one_hot(t) makes rows of classes"
        )
    dtype = common_dtype([outputs, targets])
    difference = backend.asarray(outputs, dtype) - backend.asarray(targets, dtype)
    return 0.5 * backend.xp.sum(difference * difference)


def cross_entropy_error(y: object, t: object) -> Array:
    """Mean cross-entropy of probabilities to labels.

    Parameters
    ----------
    y : array_like (N, C) or (C,)
        Probabilities, as `softmax` gives them.
    t : array_like (N,) or (N, C)
        Labels: indices of classes, or one-hot. For `y` of shape (C,): an index, or (C,).

    Returns
    -------
    array ()
        ``mean(-log(max(y[n, t[n]], tiny)))``, finite for a sure wrong answer: `tiny` is the
        smallest normal number of the dtype. (The book adds 1e-7 to every y instead, which makes
        the loss of every answer wrong by as much.)

    Raises
    ------
    TypeError
        If an array holds no real numbers.
    ValueError
        If shapes do not fit, or a label is out of range, not integral or not one-hot.
    """
    backend = backend_of(y)
    xp = backend.xp
    probabilities = _real(y, backend, "y")
    labels = real_array(t, backend, "t")
    if probabilities.ndim == 1:
        probabilities = xp.reshape(probabilities, (1, -1))
        labels = labels.reshape(1, -1) if labels.ndim == 1 and labels.size > 1 else labels
        labels = labels.reshape(1) if labels.size == 1 else labels
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ValueError(
            f"cross_entropy_error: y has shape {tuple(probabilities.shape)}: expected (N, C)"
        )
    samples, classes = probabilities.shape
    indices = check_labels(labels, samples, classes, backend).array
    chosen = xp.take_along_axis(probabilities, indices[:, None], axis=1)[:, 0]
    tiny = xp.full_like(chosen, float(xp.finfo(chosen.dtype).smallest_normal))
    return backend.mean(-xp.log(xp.where(chosen < tiny, tiny, chosen)))


def one_hot(t: object, classes: int | None = None, *, dtype: str = "float32") -> Array:
    """Turn indices of classes into rows with one 1.

    Parameters
    ----------
    t : array_like (N,)
        Indices, ``0 <= t < classes``.
    classes : int, optional
        Number of classes; by default the largest index + 1.
    dtype : str, optional
        Dtype of the result.

    Returns
    -------
    array (N, classes)
        On the backend of `t`.

    Raises
    ------
    TypeError
        If `t` holds no real numbers, or `classes` is no integer.
    ValueError
        If `t` is not one-dimensional, an index is out of range or not integral, or the result
        would have more than 2**28 numbers (1 GiB in float32). Indices serve as well as one-hot
        labels everywhere in fastnn.
    """
    backend = backend_of(t)
    xp = backend.xp
    labels = real_array(t, backend, "t")
    if labels.ndim != 1:
        raise ValueError(f"one_hot: t has shape {tuple(labels.shape)}: expected (N,)")
    what = "one_hot, by classes="
    if classes is None:
        largest = to_numpy(labels).max(initial=0)
        classes = int(largest) + 1 if math.isfinite(largest) else 1
        what = f"one_hot, by the largest label, {largest} (classes= says how many there are)"
    check_one_hot_size(labels.shape[0], check_count(classes, "classes"), what)
    indices = check_labels(labels, labels.shape[0], classes, backend).array
    columns = xp.arange(classes, dtype=indices.dtype, device=backend.device)
    return backend.astype(indices[:, None] == columns[None, :], dtype)


def _real(x: object, backend: Backend, name: str) -> Array:
    array = real_array(x, backend, name)
    return backend.asarray(array, common_dtype([array]))
