"""What a user hands over is checked here, once, in the same words for every backend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.base import Backend
from fastnn.backends.columns import of_column
from fastnn.backends.no_arrays import no_numbers, unreadable, with_gaps
from fastnn.backends.sparse_rows import SparseRows, is_sparse
from fastnn.checks import dtype_name
from fastnn.chunks import chunks

RAVEL = "t.ravel(), or np.ravel(t) of a list or a table"
"""What makes indices (N,) of a column or a row of labels."""


def real_array(given: Any, backend: Backend, name: str) -> Array:
    """Give what a user handed over as an array of real numbers.

    It is `given` itself where that is an array of the backend, and else on the host, as
    `own_array` says. Errors call it `name`, and say what to do.

    Raises
    ------
    TypeError
        If it is nothing that holds real numbers.
    ValueError
        For ragged lists.
    """
    array = own_array(given, backend, name)
    if isinstance(array, np.ndarray | np.generic):
        if array.dtype.kind in "fiub":
            return array
        if array.dtype.kind == "V" and np.can_cast(array.dtype, np.float32):
            return array.astype(np.float32)  # bfloat16 and other small numbers, of ml_dtypes
    check_real(array, name, given)
    return array


def samples_of(given: Any, backend: Backend, name: str) -> Array | SparseRows:
    """Give what a user handed over as inputs: as `real_array`, or a sparse matrix as rows.

    Raises
    ------
    TypeError, ValueError
        See `real_array`. A ValueError also for a table with gaps.
    """
    if isinstance(given, SparseRows):
        return given
    if not is_sparse(given):
        array = real_array(given, backend, name)
        refusal = None if array is given else with_gaps(given, array, name)
        if refusal is not None:
            raise refusal
        return array
    check_real(np.empty(0, given.dtype), name, given)
    return SparseRows(given)


def dense(samples: Array | SparseRows) -> Array:
    """Give inputs as an array."""
    return samples[:] if isinstance(samples, SparseRows) else samples


def check_real(array: Array, name: str, given: object = None) -> None:
    """Refuse what is no real number: complex, object, string and date arrays.

    The message speaks of what was `given`, of which the array was made.
    """
    if isinstance(array, np.ndarray) and array.dtype.kind in "fiub":
        return
    kind = dtype_name(array)
    if not kind.startswith(("float", "int", "uint", "bool")):
        raise no_numbers(array, kind, given, name)


def bits_as_bytes(array: Array) -> Array:
    """Give an array of bool as one of uint8, 0 and 1, by a view where the library has them."""
    if dtype_name(array) != "bool":
        return array
    if hasattr(array, "view"):
        return array.view("uint8")
    xp = _namespace(array)
    return xp.astype(array, xp.uint8)


def own_array(array: Any, backend: Backend, name: str = "array") -> Array:
    """Give an array of the backend as it is, and anything else as an array on the host.

    An array of another library that is on a device already stays there, if the backend can take it.
    """
    if backend.owns(array):
        return array
    try:
        adopted = backend.adopt(array)
    except (TypeError, ValueError, BufferError) as error:
        raise unreadable(array, name, error) from error
    return host_array(array, name) if adopted is None else adopted


def check_owned(array: object, backend: Backend, name: str, layer: str) -> None:
    """Refuse, in a low-level call, an array that lives elsewhere."""
    if array is None:
        giver = "forward of the layer before" if name == "x" else "backward of the layer behind"
        raise TypeError(f"{layer}: {name} is None: the {giver} returned nothing")
    if not backend.owns(array):
        kind = f"{type(array).__module__}.{type(array).__qualname__}"
        place = f" on {array.device}" if hasattr(array, "device") else ""
        raise TypeError(
            f"{layer}: {name} is a {kind}{place}, and this layer computes on the {backend.name} "
            f"backend: bring it there with layer.backend.asarray({name}), or call the network, "
            "which does"
        )


def check_batch(x: object, backend: Backend, dtype: str) -> Array:
    """Check inputs of a network and bring them to its device in its dtype."""
    array = real_array(x, backend, "x")
    check_not_empty(array)
    with np.errstate(over="ignore"):  # beyond float32: infinity, which the result will show
        return backend.asarray(array, dtype)


def check_not_empty(x: Array, name: str = "x") -> None:
    """Refuse inputs without a batch axis, and empty ones."""
    if x.ndim == 0:
        raise ValueError(f"{name} is a single number: it must have shape (N, features, ...)")
    if 0 in x.shape:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: an empty batch has no result")


def check_same_length(x: Array, t: Array, names: tuple[str, str] = ("x", "t")) -> None:
    """Refuse inputs and labels that are not of the same samples."""
    samples = x.shape[0]
    if t.ndim == 0 or t.shape[0] != samples:
        ravel = f"; pass {RAVEL}" if t.ndim and math.prod(t.shape) == samples else ""
        raise ValueError(
            f"{names[0]} has {samples} samples (shape {tuple(x.shape)}) and {names[1]} has "
            f"{t.shape[0] if t.ndim else 'one number'} (shape {tuple(t.shape)}): "
            f"they must be of the same batch{ravel}"
        )


def _namespace(array: Array) -> Any:
    if isinstance(array, np.ndarray):
        return np
    import array_api_compat

    return array_api_compat.array_namespace(array)


def check_finite(
    x: Array,
    backend: Backend,
    *,
    name: str = "x",
    as_dtype: str | None = None,
    original: Array | None = None,
    given: object = None,
) -> None:
    """Refuse NaN and infinity, telling where the first one is; in chunks, for large data sets.

    With `as_dtype` also what becomes infinite in that dtype. The message speaks of the `original`,
    of which `x` was cast, and of the columns of the table that was `given`.
    """
    if not dtype_name(x).startswith("float"):
        return
    xp = backend.xp
    rows = max(1, (1 << 20) // max(1, math.prod(x.shape[1:])))
    for some in chunks(x.shape[0], rows):
        chunk = x[some, ...]
        if as_dtype is not None:
            with np.errstate(over="ignore"):
                chunk = backend.astype(chunk, as_dtype)
        # A sum is finite only if every term is, and takes half the time of checking each.
        with np.errstate(over="ignore", invalid="ignore"):
            total = xp.sum(chunk)
        if bool(xp.isfinite(total)) or bool(xp.all(xp.isfinite(chunk))):
            continue
        host = backend.to_numpy(chunk)
        first = np.argwhere(~np.isfinite(host))[0].tolist()
        index = (some.start + first[0], *first[1:])
        value: Any = host_array((x if original is None else original)[index])[()]
        raise not_finite(value, dtype_name(chunk), index, name, of_column(given, index))


def not_finite(
    value: np.floating[Any], dtype: str, index: tuple[int, ...], name: str, column: str = ""
) -> ValueError:
    """Make the error for an input that is not finite, or not in the dtype of the network."""
    # str, since a format would make a float of a long double
    place = f"{name}[{', '.join(map(str, index))}]{column} is {value!s}"
    if np.isfinite(value):
        return ValueError(f"{place}{beyond(dtype)}: training needs numbers in that range")
    return ValueError(f"{place}: training needs finite inputs; leave out the sample, or fill it in")


def beyond(dtype: str) -> str:
    """Say of a number that it is too large for a dtype, and what to do."""
    other = ', or take dtype="float64", network.astype("float64")' if dtype == "float32" else ""
    return (
        f", beyond the {np.finfo(dtype).max:.2g} of {dtype}, in which the network computes (scale "
        f"the data{other})"
    )
