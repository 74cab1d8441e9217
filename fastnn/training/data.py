"""The data set of a training: checked, and copied to where the network computes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.base import Backend
from fastnn.backends.mapped import stays_in_its_file
from fastnn.backends.plan import DATA_DTYPES
from fastnn.backends.selection import backend_of, load_backend
from fastnn.backends.sparse_rows import SparseRows
from fastnn.checks import dtype_name
from fastnn.nn.layer import is_unmodified
from fastnn.nn.layers import Affine
from fastnn.nn.sample_weight import check_sample_weight, check_takes_weights
from fastnn.nn.sequential import Sequential
from fastnn.nn.shape_hints import about_shape
from fastnn.nn.targets import Targets
from fastnn.nn.validation import (
    bits_as_bytes,
    check_finite,
    check_not_empty,
    check_same_length,
    not_finite,
    real_array,
    samples_of,
)


def shuffle_dataset(x: object, t: object) -> tuple[Array, Array]:
    """Give the samples of a data set and their labels in another order, the same for both.

    Parameters
    ----------
    x : array_like (K, ...)
        Left as it is.
    t : array_like (K, ...)
        Likewise.

    Returns
    -------
    tuple of array
        Copies, where `x` and `t` live. The order is drawn by ``numpy.random.permutation``, as in
        the book's code, so that ``numpy.random.seed`` decides it.

    Raises
    ------
    TypeError
        If an array holds no real numbers.
    ValueError
        If they are not of the same samples.
    """
    backend = backend_of(x)
    data, labels = real_array(x, backend, "x"), real_array(t, backend, "t")
    check_not_empty(data)
    check_same_length(data, labels)
    order = np.random.permutation(int(data.shape[0]))  # noqa: NPY002 - as the book
    return _in_order(data, order), _in_order(labels, order)


def _in_order(array: Array, order: np.ndarray[Any, Any]) -> Array:
    backend = backend_of(array)
    with backend.current():
        return backend.xp.take(array, backend.asarray(order, "int64"), axis=0)


def data_set(
    network: Sequential,
    x: object,
    t: object,
    *,
    which: str = "",
    outputs: tuple[int, ...] | None = None,
) -> tuple[Array, Array]:
    """Check a data set and bring it to the network's device, in a dtype that it is trained from.

    `outputs` is the shape of the scores of a sample, where it is known; else one is computed.

    What has no room there stays on the host, and a large mapped file on its disk. Labels become an
    array of our own, and what has been checked is that one: no index is read from an array that
    somebody else may write to.
    """
    backend, names = network.backend, (f"{which}x", f"{which}t")
    if t is None and isinstance(x, tuple) and len(x) == 2:
        raise TypeError(
            f"{names[0]} is a pair and {names[1]} is None: pass the inputs and the targets one "
            "after the other, fit(network, x, t)"
        )
    rows = samples_of(x, backend, names[0])
    if t is None:
        raise TypeError(f"{names[1]} is None: fit learns from targets, fit(network, x, t)")
    if isinstance(rows, SparseRows):
        return _of_compressed_rows(network, rows, real_array(t, backend, names[1])[...], names)
    # Views of our own: another shape or dtype that is given to the caller's array is not ours.
    data, labels = rows[...], real_array(t, backend, names[1])[...]
    data = bits_as_bytes(data)
    if data.ndim < 2:
        shape = tuple(data.shape)
        hint = about_shape(network, data, labels) if shape else ""
        raise ValueError(f"{names[0]} has shape {shape}: expected (K, features, ...){hint}")
    check_not_empty(data, names[0])
    check_same_length(data, labels, names)
    if _has_no_room(data, network):
        check_finite(data, load_backend("numpy"), name=names[0], as_dtype=network.dtype, given=x)
        outputs = outputs or outputs_of(network, data, names[0], labels)
        return data, network.targets_on_host(labels, outputs, name=names[1])
    original = data
    with np.errstate(over="ignore"):  # beyond float32: infinity, which is refused below
        data = backend.asarray(data, None if dtype_name(data) in DATA_DTYPES else network.dtype)
    check_finite(data, backend, name=names[0], original=original, given=x)
    outputs = outputs or outputs_of(network, data, names[0], labels)
    targets = network.targets(labels, outputs, name=names[1])
    if isinstance(targets, Targets):
        return data, targets.array
    return data, backend.copy(targets)  # for a loss of the user's own


def _of_compressed_rows(
    network: Sequential, rows: SparseRows, labels: Array, names: tuple[str, str]
) -> tuple[SparseRows, Array]:
    """Check a data set of compressed rows, which stay on the host: no engine makes all dense."""
    backend = network.backend
    check_not_empty(rows, names[0])
    check_same_length(rows, labels, names)
    if not backend.on_host and type(backend).feed is Backend.feed:
        raise TypeError(
            f"{names[0]} is sparse, and the {backend.name} backend trains from dense arrays alone: "
            f"pass {names[0]}.toarray()"
        )
    original = rows.matrix.data
    with np.errstate(over="ignore"):  # beyond float32: infinity, which is refused below
        if dtype_name(rows) == "bool":
            rows = rows.astype("uint8")
        elif dtype_name(rows) not in DATA_DTYPES:
            rows = rows.astype(network.dtype)
    wrong = np.flatnonzero(~np.isfinite(rows.matrix.data))
    if wrong.size:
        row = int(np.searchsorted(rows.matrix.indptr, wrong[0], "right")) - 1
        index = (row, int(rows.matrix.indices[wrong[0]]))
        raise not_finite(original[wrong[0]], dtype_name(rows), index, names[0])
    outputs = outputs_of(network, rows, names[0], labels)
    check = network.targets if backend.on_host else network.targets_on_host
    targets = check(labels, outputs, name=names[1])
    return rows, targets.array if isinstance(targets, Targets) else host_array(targets).copy()


def weights_of(
    network: Sequential,
    data: Array,
    sample_weight: object,
    *,
    which: str = "",
    may_be_zero: bool = False,
) -> Array:
    """Check the weights of a data set, and bring them to where that is: float64 (K,)."""
    check_takes_weights(network.last_layer)
    home = network.backend if network.backend.owns(data) else load_backend("numpy")
    name, samples = f"{which}sample_weight", int(data.shape[0])
    return check_sample_weight(sample_weight, samples, home, name=name, may_be_zero=may_be_zero)


def outputs_of(
    network: Sequential, data: Array, name: str, labels: Array = None
) -> tuple[int, ...]:
    """Give the shape of the scores that the network gives for a sample of the data set.

    Features that do not fit are said in terms of the data set; whatever else a layer refuses is its
    own to say.
    """
    first = next(iter(network.layers.values()), None)
    if first is not None and is_unmodified(first, Affine):
        features = int(first.W.shape[0])
        if math.prod(data.shape[1:]) != features:
            raise ValueError(
                f"{name} has shape {tuple(data.shape)}, and W of the first layer "
                f"{tuple(first.W.shape)}: expected {name} of shape (N, {features})"
                f"{about_shape(network, data, labels)}"
            )
    try:
        return tuple(network._scores_of_checked(data[:1, ...]).shape[1:])
    except Exception as error:
        error.add_note(f"when the network was given the first sample of {name}, as fit begins")
        raise


def _has_no_room(data: Array, network: Sequential) -> bool:
    """Whether a data set stays on the host, or on its disk, and arrives in chunks."""
    backend = network.backend
    if backend.on_host:
        return stays_in_its_file(data)
    if backend.owns(data):
        return False
    kept = data.dtype if dtype_name(data) in DATA_DTYPES else np.dtype(network.dtype)
    return not backend.holds(data.size * kept.itemsize)
