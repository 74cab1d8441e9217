"""What a user hands over is checked here, once, in the same words for every backend."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.base import Backend
from fastnn.backends.no_arrays import no_numbers, unreadable
from fastnn.backends.selection import load_backend
from fastnn.checks import dtype_name
from fastnn.chunks import chunks

RAVEL = "t.ravel(), or np.ravel(t) of a list or a table"
"""What makes indices (N,) of a column or a row of labels."""

MANY_CLASSES = 1000
"""More than these are rather a mistake in the labels than a network that is too small."""


class Labels(NamedTuple):
    """Labels that have been checked, which the type tells: a loss does not check them again.

    Attributes
    ----------
    indices : array (N,), int64
        The class of each sample, on the backend's device.
    """

    indices: Array


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


def check_labels(
    t: object, samples: int, classes: int, backend: Backend, *, name: str = "t"
) -> Labels:
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
    if isinstance(t, Labels):
        return t
    labels = real_array(t, backend, name)[...]  # a view of our own, which keeps shape and dtype
    labels = bits_as_bytes(labels)
    shape = tuple(labels.shape)
    if shape in ((samples,), (samples, classes)):
        home = backend if backend.owns(labels) else load_backend("numpy")
        indices = home.label_indices(labels, classes)
        if indices is None:
            raise _no_label(labels, classes, home, name)
        return Labels(backend.asarray(indices, "int64"))
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
            "one output for each class, output_size=2 for labels 0 and 1"
        )
    if labels.ndim == 2:
        return ""
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        return "; NaN is a gap: leave such samples out, as with x[~np.isnan(t)], t[~np.isnan(t)]"
    least, largest = labels.min(), labels.max()
    if least == 1 and largest == classes:
        return "; they seem to count from 1: pass t - 1"
    if least == -1 and largest == 1 and not (labels == 0).any():
        return "; for -1 and 1 pass (t + 1) // 2"
    if least >= 0 and classes <= largest < MANY_CLASSES and (labels == np.floor(labels)).all():
        return f"; for labels up to {int(largest)} the network needs {int(largest) + 1} outputs"
    return ""


def _namespace(array: Array) -> Any:
    if isinstance(array, np.ndarray):
        return np
    import array_api_compat

    return array_api_compat.array_namespace(array)


def check_finite(x: Array, backend: Backend, *, name: str = "x") -> None:
    """Refuse NaN and infinity, telling where the first one is; in chunks, for large data sets."""
    if not dtype_name(x).startswith("float"):
        return
    xp = backend.xp
    rows = max(1, (1 << 20) // max(1, math.prod(x.shape[1:])))
    for some in chunks(x.shape[0], rows):
        chunk = x[some, ...]
        # A sum is finite only if every term is, and takes half the time of checking each.
        with np.errstate(over="ignore", invalid="ignore"):
            total = xp.sum(chunk)
        if bool(xp.isfinite(total)) or bool(xp.all(xp.isfinite(chunk))):
            continue
        host = backend.to_numpy(chunk)
        index = np.argwhere(~np.isfinite(host))[0]
        position = ", ".join(str(i) for i in (some.start + int(index[0]), *index[1:].tolist()))
        raise ValueError(
            f"{name}[{position}] is {host[tuple(index)]}: training needs finite inputs"
        )
