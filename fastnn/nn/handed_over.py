"""Arrays that a user hands over as parameters: used as they are, or a warning says they are not.

In the book's loop, ``params["W1"] -= lr * layer.dW``, a layer is trained through the dictionary
that it was made from. That works as long as the layer computes with those very arrays. So they are
kept, of whatever layout; where a layer has to compute with a copy, and somebody may still hold what
it is a copy of, a `ParameterCopyWarning` says which array it is and what to write instead.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.base import Backend
from fastnn.checks import DTYPES, common_dtype, dtype_name, is_read_only
from fastnn.errors import ParameterCopyWarning
from fastnn.system.standard_streams import warn

_known: dict[int, weakref.ref[Any]] = {}
"""Arrays that users handed over, by `id`. They are no parts of the layers, which are copied and
pickled, and only their user and the layer keep them alive."""


def fits(array: object, backend: Backend, dtype: str | None = None) -> bool:
    """Say whether a layer on `backend` can compute with this very array, and train it in place."""
    if not backend.owns(array) or isinstance(array, np.generic):
        return False
    if isinstance(array, np.ndarray) and not (
        type(array) is np.ndarray and array.dtype.isnative and array.flags.writeable
    ):
        return False
    return dtype_name(array) in ((dtype,) if dtype else DTYPES)


def take(given: object, array: Array, backend: Backend, name: str, layer: str) -> Array:
    """Give the array with which a layer computes where a user handed over `given`.

    Parameters
    ----------
    given : array_like
        What the user handed over.
    array : array
        The same as `fastnn.nn.validation.real_array` gives it, of real numbers.
    backend : Backend
        Where the layer computes.
    name, layer : str
        What it is called, for the warning: "W" of "Affine".

    Returns
    -------
    array
        Of float32 or float64, on `backend`, writable. It is `given`, or shares its memory, wherever
        that is possible; where it is not, and `given` is an array, a warning is given.
    """
    if isinstance(array, np.ndarray):
        array = np.asarray(array)  # of a np.matrix or np.memmap, the same memory
    shared = given is array or _same_memory(given, array, backend)
    if shared and fits(array, backend):
        remember(array)
        return array
    dtype = common_dtype([array])
    if hasattr(given, "shape") and not isinstance(given, np.generic):
        warn(
            f"{layer}: {name} is {_described(given, array)}, and the layer computes with "
            f"a copy of it, in {dtype} on the {backend.name} backend: changes of the array, as "
            f"{name} -= lr * layer.d{name}, do not reach the layer. "
            f"Hand over, and keep, {_remedy(name, given, array, backend, dtype)}; or change "
            f"layer.{name}, which is the copy.",
            ParameterCopyWarning,
        )
    result = backend.asarray(array, dtype)
    # A device may be a part of the host's memory, and what is brought there the same array.
    return backend.copy(result) if shared and (result is array or not backend.on_host) else result


def remember(array: Array) -> None:
    """Remember that a user handed over an array, which a layer uses as it is."""
    key = id(array)
    try:
        _known[key] = weakref.ref(array, lambda _: _known.pop(key, None))
    except TypeError:  # a number, or an array of a library that does not allow it
        return


def let_go(arrays: Iterable[Array]) -> None:
    """Record that only the layers hold these arrays, since fastnn made them itself."""
    for array in arrays:
        _known.pop(id(array), None)


def handed_over(array: object) -> bool:
    """Say whether a user handed over this very array."""
    reference = _known.get(id(array))
    return reference is not None and reference() is array


def warn_of_copies(
    layers: Mapping[str, Any],
    owners: Mapping[str, tuple[Any, str]],
    backend: Backend,
    dtype: str,
) -> None:
    """Warn if parameters that a user still holds must be copied to be of `dtype` on `backend`.

    Parameters
    ----------
    layers, owners : mapping
        The layers of a network by name, and for each parameter its layer and attribute there.
    """
    parted = [
        (name, layer, attribute)
        for name, (layer, attribute) in owners.items()
        if _still_held(layer, attribute) and not fits(getattr(layer, attribute), backend, dtype)
    ]
    if not parted:
        return
    names = {id(layer): name for name, layer in layers.items()}
    described = [
        f"{name} ({attribute} of layer {names[id(layer)]!r}: {_where(getattr(layer, attribute))})"
        for name, layer, attribute in parted
    ]
    more = [f"and {len(described) - 4} more"] if len(described) > 4 else []
    name, layer, attribute = parted[0]
    remedy = f"{attribute}.astype({dtype!r})"
    if not backend.owns(getattr(layer, attribute)):
        remedy = (
            f"fastnn.get_backend().asarray({attribute}, {dtype!r}), after "
            f"fastnn.set_backend({backend.name!r})"
        )
    warn(
        f"the network computes in {dtype} on the {backend.name} backend, from here on with copies "
        f"of arrays that were handed over to its layers: {', '.join([*described[:4], *more])}. "
        "Changes of those arrays do not reach it any more, nor does training change them. "
        f"Go on with network.params[{name!r}], or make the layer of {remedy}.",
        ParameterCopyWarning,
    )


class _Layer:
    """An array in the only place that it has, as nobody but a layer holds it."""

    def __init__(self, array: Array) -> None:
        self.array = array


def _still_held(layer: Any, attribute: str) -> bool:
    """Say whether somebody other than the layer holds an array that was handed over.

    Python counts who refers to an object. How many those are for an array that only its layer has,
    or a view of one, is counted in the same way, so that it holds for any version of Python.
    """
    if not handed_over(getattr(layer, attribute)):
        return False
    if _references(layer, attribute) > _ALONE:
        return True
    base = isinstance(getattr(layer, attribute), np.ndarray) and _base(layer, attribute) is not None
    return base and _references_of_base(layer, attribute) > _BASE_ALONE


def _references(layer: Any, attribute: str) -> int:
    return sys.getrefcount(getattr(layer, attribute))


def _references_of_base(layer: Any, attribute: str) -> int:
    return sys.getrefcount(getattr(layer, attribute).base)


def _base(layer: Any, attribute: str) -> Any:
    return getattr(layer, attribute).base


_ALONE = _references(_Layer(np.empty(2)), "array")
_BASE_ALONE = _references_of_base(_Layer(np.empty(2)[:1]), "array")


def _same_memory(given: object, array: Array, backend: Backend) -> bool:
    """Say whether what was made of an object of another library is its own memory, not a copy.

    What hands out its own memory hands out the same a second time.
    """
    if isinstance(array, np.ndarray):
        return hasattr(given, "shape") and np.shares_memory(host_array(given), array)
    again = backend.adopt(given)
    here, there = (getattr(a, "__cuda_array_interface__", None) for a in (array, again))
    return here is not None and there is not None and here["data"] == there["data"]


def _described(given: Any, array: Array) -> str:
    if not (given is array or isinstance(given, np.ndarray)):
        kind = f"{type(given).__module__}.{type(given).__qualname__}"
        return f"a {kind} of {dtype_name(array)} and shape {tuple(array.shape)}"
    kind = "a read-only array" if is_read_only(array) else "an array"
    return f"{kind} ({_where(given if isinstance(given, np.ndarray) else array)})"


def _where(array: Array) -> str:
    """Tell dtype, shape and layout of an array, and where it lives."""
    dtype, place = dtype_name(array), "on the host"
    if isinstance(array, np.ndarray):
        dtype = dtype if array.dtype.isnative else f"byte-swapped {dtype}"
    else:
        place = f"on {getattr(array, 'device', 'a device')}"
    flags, layout = getattr(array, "flags", None), ""
    if flags is not None:
        layout = ", not contiguous"
        if flags.c_contiguous or flags.f_contiguous:
            layout = ", in C order" if flags.c_contiguous else ", in Fortran order"
    return f"{dtype}, shape {tuple(array.shape)}{layout}, {place}"


def _remedy(name: str, given: Any, array: Array, backend: Backend, dtype: str) -> str:
    if not backend.owns(array):
        cast = "" if dtype_name(array) == dtype else f", {dtype!r}"
        return f"fastnn.get_backend().asarray({name}{cast})"
    if not (given is array or isinstance(given, np.ndarray)):
        return f"fastnn.to_numpy({name}).astype({dtype!r})"
    if dtype_name(array) == dtype and is_read_only(array):
        return f"{name}.copy()"
    return f"{name}.astype({dtype!r})"
