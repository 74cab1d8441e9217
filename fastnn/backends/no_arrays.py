"""Errors for what is no array of real numbers: what it is, and the call that converts it.

No library is imported for that. A kind of thing is known by the names of its classes, without
their private parts, or by what Python's abstract classes say of it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, MappingView, Set
from itertools import islice
from numbers import Complex, Real
from typing import Any

import numpy as np

from fastnn.backends.columns import about_gaps, gaps, no_number_columns
from fastnn.wording import a_kind, class_name, kind_of, shown

Mend = str | Callable[[Any, str], str | None]
"""What to do instead, with ``{name}`` for the argument; or a function of the thing and its name."""

LOOP = (
    "train on its batches, fastnn.fit(network, fastnn.batches({name})); or loop over it with "
    "network.gradient(x, t) and optimizer.update(network.params, grads), or stack its batches to "
    "one array"
)
GAP = "fill the gap with a number, or leave the sample out"
CHECKED_ELEMENTS = 100_000
"""How many elements of text or objects are read for the sake of a message."""


def _one_of_it(thing: Mapping[Any, Any], name: str) -> str:
    keys = [shown(key) for key in islice(thing, 4)]
    listed = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
    return f"pass one of its arrays, {name}[...], of {listed}" if keys else "it is empty"


NEVER_READ: tuple[tuple[str | type, Mend], ...] = (
    ("scipy.sparse", "pass {name}.toarray()"),
    ("cupyx.scipy.sparse", "pass {name}.toarray()"),
    ("sparse.SparseArray", "pass {name}.todense()"),
    ("sparse.numba_backend.SparseArray", "pass {name}.todense()"),
    ("jax.experimental.sparse", "pass {name}.todense()"),
    (
        "jax.core.Tracer",
        "fastnn does not run inside jax.jit, jax.grad or jax.vmap, where arrays have no values "
        "yet: call it outside of them",
    ),
    (
        "torch.utils.data.dataset.IterableDataset",
        LOOP,
    ),
    (
        "torch.utils.data.dataset.Dataset",
        "stack its samples to arrays, x, t = map(np.stack, zip(*{name}))",
    ),
    ("torch.utils.data", LOOP),
    ("tensorflow.python.data", LOOP),
    ("datasets.iterable_dataset.IterableDataset", LOOP),
    ("datasets.arrow_dataset.Dataset", "pass a column of it as an array, np.asarray({name}[...])"),
    ("polars.lazyframe", "pass {name}.collect()"),
    (Mapping, _one_of_it),
    (MappingView, "pass a list, list({name})"),
    (Set, "it has no order: pass a list, sorted({name})"),
    (
        Iterator,
        "stack what it gives, np.stack(list({name})); or, where that is batches, train on them, "
        "fastnn.fit(network, fastnn.batches({name}))",
    ),
    (types.FunctionType, "call it, {name}(...), and pass what it returns"),
    (types.MethodType, "call it, {name}(...), and pass what it returns"),
    (type, "pass an array, not its class"),
)
"""Things that NumPy would not read, or by running through code or files of the user's."""


def _tensor(tensor: Any, name: str) -> str | None:
    if tensor.requires_grad:
        return f"it requires a gradient: pass {name}.detach()"
    if tensor.is_meta:
        return "it is on the device 'meta' and has no values: make it on another"
    if str(tensor.layout) != "torch.strided":
        return f"it is sparse: pass {name}.to_dense()"
    if tensor.is_quantized:
        return f"it is quantized: pass {name}.dequantize()"
    if tensor.is_neg() and not tensor.is_complex():
        return f"its sign is still to be changed: pass {name}.resolve_neg()"
    if tensor.is_complex():
        return f"it is complex: pass {name}.real, or {name}.abs()"
    return f"NumPy has no {tensor.dtype}: pass {name}.float()"


def _table(table: Any, name: str) -> str | None:
    """Tell of columns that are no numbers, or of pandas' own numbers, perhaps with gaps."""
    columns = no_number_columns(table, name)
    if columns is not None or not (hasattr(table, "isna") and hasattr(table, "to_numpy")):
        return columns
    is_frame = hasattr(table, "columns")
    if not is_frame and table.dtype.kind not in "fiub":
        return None  # the elements tell more
    wanted = "int64" if _are_labels(name) else "float32"
    missing = np.argwhere(np.asarray(table.isna()))
    if len(missing):
        row, *column = missing[0].tolist()
        place = f"{name}.iloc[{', '.join(map(str, (row, *column)))}]"
        named = f", in column {shown(table.columns[column[0]])}" if is_frame else ""
        fill = f'{name}.to_numpy(dtype="{wanted}", na_value=0)'
        return f"it has gaps, {about_gaps(f'at {place}{named}', fill, f'{name}.dropna()')}"
    return f'its numbers are of dtypes of pandas\' own: pass {name}.to_numpy(dtype="{wanted}")'


NOT_ALWAYS_READ: tuple[tuple[str | type, Mend], ...] = (
    ("torch.Tensor", _tensor),
    ("pandas", _table),
    ("polars.dataframe", _table),
    ("pyarrow.lib", _table),
    (Mapping, _one_of_it),
)
"""Things that NumPy reads as numbers, but for some of them."""


def never_read(thing: object, name: str) -> TypeError | None:
    """Give the error for a thing that NumPy is not even asked to read."""
    if hasattr(thing, "__array__") and isinstance(thing, Iterator | Mapping | MappingView | Set):
        return None  # as x.flat of NumPy, which is an iterator and an array
    mend = _mend(NEVER_READ, thing, _argument(name))
    return None if mend is None else TypeError(f"{name} is {a_kind(thing)}: {mend}")


def unreadable(thing: object, name: str, error: Exception) -> Exception:
    """Give the error for a thing that NumPy failed to read, by `error`."""
    mend = _mend(NOT_ALWAYS_READ, thing, _argument(name))
    if mend is not None:
        return TypeError(f"{name} is {a_kind(thing)}: {mend}")
    return TypeError(
        f"{name} is {a_kind(thing)}, which gives no numbers to NumPy "
        f"({type(error).__name__}: {error}): convert it to a "
        "NumPy array first"
    )


def no_array(thing: object, name: str) -> TypeError:
    """Give the error for a thing in which NumPy sees no array."""
    what = "None" if thing is None else a_kind(thing)
    what += f", {shown(thing)}" if isinstance(thing, str | bytes) else ""
    return TypeError(f"{name} is {what}: it must be an array of real numbers")


def no_numbers(array: Any, dtype: str, given: object, name: str) -> TypeError:
    """Give the error for an array of a dtype that is no real number, made of what was given."""
    known = given is None or given is array
    known = known or isinstance(given, np.ndarray | np.generic | list | tuple)
    what = "has" if known else f"is {a_kind(given)} that gives"
    if getattr(array.dtype, "kind", "") in tuple("UST"):
        dtype = dtype.rstrip("0123456789")
    return TypeError(
        f"{name} {what} dtype {dtype}: it must hold real numbers; "
        f"{_of_dtype(array, given, _argument(name))}"
    )


def _of_dtype(array: Any, given: object, name: str) -> str:
    kind = getattr(array.dtype, "kind", "c")  # of no other libraries' arrays but complex ones
    if kind == "c":
        return f"pass its real part, np.real({name}), or its modulus, np.abs({name})"
    if kind in "OUST":
        return _mend(NOT_ALWAYS_READ, given, name) or _of_elements(array, name)
    if kind == "M" and _are_labels(name):
        return _of_text(name)
    if kind == "M":
        return f'pass the time since a first one, ({name} - {name}.min()) / np.timedelta64(1, "D")'
    if kind == "m":
        return f'pass it in a unit, {name} / np.timedelta64(1, "s")'
    if array.dtype.names:
        fields = ", ".join(map(shown, array.dtype.names))
        return (
            f"pass one of its fields, {name}[...], of {fields}; or all as columns, "
            f"numpy.lib.recfunctions.structured_to_unstructured({name})"
        )
    return f"pass {name}.view with a dtype that says what its bytes are"


def _of_elements(array: np.ndarray[Any, Any], name: str) -> str:
    """Find the first element that is no number, and say what to do about it."""
    dtype = "int64" if _are_labels(name) else "float32"
    too_large = ""
    for index, element in islice(np.ndenumerate(array), CHECKED_ELEMENTS):
        element = element.item() if isinstance(element, np.generic) else element
        place = f"{name}[{', '.join(map(str, index))}]" if index else name
        if isinstance(element, str | bytes):
            if _is_number(element):
                continue
            return f"{place} is {shown(element)}: {_of_text(name)}"
        if isinstance(element, Real) or kind_of(element) == "decimal.Decimal":
            if isinstance(element, int) and not -(2**63) <= element < 2**64:
                too_large = too_large or f"{place} is {shown(element)}, beyond 64 bits: "
                dtype = "float64"
            continue
        if element is None or kind_of(element).endswith(("NAType", "NaTType")):
            return f"{place} is {element}: {GAP}"
        if isinstance(element, Complex):
            return f"{place} is {shown(element)}: pass its real part, or its modulus"
        mend = _mend((*NEVER_READ, *NOT_ALWAYS_READ), element, place)
        if mend is None and (hasattr(element, "shape") or hasattr(element, "__dlpack__")):
            mend = f"stack them to one array, np.stack([np.asarray(one) for one in {name}])"
            if not hasattr(element, "__array__"):
                mend = mend.replace("asarray", "from_dlpack")
        return f"{place} is {a_kind(element)}" + (f": {mend}" if mend else "")
    return f'{too_large}pass np.asarray({name}, dtype="{dtype}")'


def _of_text(name: str) -> str:
    if _are_labels(name):
        return (
            "number the classes, names, t = np.unique(t, return_inverse=True), as scikit-learn's "
            "LabelEncoder does; or take fastnn.sklearn.MLPClassifier, which takes their names"
        )
    return "encode it in numbers, or leave its column out"


def _is_number(text: str | bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _are_labels(name: str) -> bool:
    return name.partition("[")[0] == "t"


def _argument(name: str) -> str:
    """Give what a user may have written for what messages call `name`: "x" of "validation x"."""
    return name.rpartition(" ")[2]


def _mend(table: tuple[tuple[str | type, Mend], ...], thing: object, name: str) -> str | None:
    """Look a thing up in a table."""
    names: list[str] = []
    for kind, mend in table:
        if isinstance(kind, str):
            names = names or [f"{class_name(cls)}." for cls in type(thing).__mro__]
            if not any(one.startswith(f"{kind}.") for one in names):
                continue
        elif not isinstance(thing, kind):
            continue
        return mend.format(name=name) if isinstance(mend, str) else mend(thing, name)
    return None


def with_gaps(thing: object, numbers: Any, name: str) -> ValueError | None:
    """Give the error for a table whose `numbers` have gaps; None if it is no table, or has none."""
    words = gaps(thing, numbers, name, _argument(name))
    return None if words is None else ValueError(words)
