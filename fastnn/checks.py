"""Checks of single values and dtypes, in the same words wherever they come in."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from inspect import signature
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.wording import shown

Array = Any

DTYPES = ("float32", "float64")
"""What a network computes in."""


LARGEST_COUNT = 2**63 - 1
"""Of anything that is counted; an index has 64 bits."""


def dtype_name(array: Array) -> str:
    """Name the dtype of an array of any library: "float32", "uint8", ..."""
    if isinstance(array, np.ndarray):
        return _numpy_name(array.dtype)
    return str(array.dtype).rpartition(".")[2]


@cache
def _numpy_name(dtype: np.dtype[Any]) -> str:
    """Name a NumPy dtype, which takes NumPy microseconds; every layer asks several times."""
    return str(dtype.name)


def common_dtype(arrays: Iterable[Array]) -> str:
    """Give the dtype to compute in: float32 if all are float32 or float16, else float64."""
    for array in arrays:
        if dtype_name(array) not in ("float16", "float32"):
            return DTYPES[1]
    return DTYPES[0]


def is_of_floats(array: Array) -> bool:
    """Whether the numbers of an array are floats, of whatever width."""
    if isinstance(array, np.ndarray | np.generic):
        return array.dtype.kind == "f"
    return dtype_name(array).startswith("float")


def check_dtype(dtype: object) -> str:
    """Return the name of a dtype that networks compute in."""
    try:
        name = None if dtype is None else np.dtype(dtype).name  # type: ignore[call-overload]
    except (TypeError, ValueError):
        name = None
    if name not in DTYPES:
        given = dtype if name is None else name
        raise ValueError(f"dtype {shown(given)} is not supported: choose 'float32' or 'float64'")
    return str(name)


def is_read_only(array: Array) -> bool:
    """Whether an array cannot be changed in place; only NumPy's can be so."""
    return isinstance(array, np.ndarray) and not array.flags.writeable


def check_count(value: Any, name: str, *, least: int = 1) -> int:
    """Return a whole number that is at least `least`."""
    try:
        if not _is_single(value, ("int", "uint")):
            raise TypeError
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {shown(value)}") from None
    if count < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(value)}")
    if count > LARGEST_COUNT:
        raise ValueError(f"{name} must be below 2**63, got {shown(value)}")
    return count


def check_rate(value: Any, name: str) -> float:
    """Return a finite rate that is not negative, of any type of real numbers."""
    try:
        if not _is_single(value, ("float", "int", "uint", "bfloat")):
            raise TypeError
        rate = float(value)
    except TypeError:
        raise TypeError(f"{name} must be a real number, got {shown(value)}") from None
    except (OverflowError, ValueError):  # beyond a float; a NaN of Decimal that signals
        rate = math.nan
    if not math.isfinite(rate) or rate < 0:
        raise ValueError(
            f"{name} must be finite and not negative, within the range of a float, got "
            f"{shown(value)}"
        )
    return rate


def check_fraction(value: Any, name: str) -> float:
    """Return a number in ``0 <= value < 1``, of any type of real numbers."""
    try:
        fraction = check_rate(value, name)
    except ValueError:
        fraction = math.nan
    if not fraction < 1:
        raise ValueError(f"{name} must be at least 0 and less than 1, got {shown(value)}")
    return fraction


def check_number(value: Any, name: str) -> Any:
    """Return a real number as it is, or as a float if Python does not know it as a number."""
    if not _is_single(value, ("float", "int", "uint", "bfloat")):
        raise TypeError(f"{name} must be a real number or an array, got {shown(value)}")
    try:
        as_float = float(value)
    except OverflowError:
        raise ValueError(f"{name} is beyond the range of a float: {shown(value)}") from None
    return value if isinstance(value, Real) else as_float


def _is_single(value: Any, dtypes: tuple[str, ...]) -> bool:
    """Whether a value is no bool, no text and no array but one () of such a dtype.

    `float` would take text and bytes, an array of one entry, and the real part of a complex number.
    """
    if isinstance(value, bool) or is_masked(value):
        return False
    if hasattr(value, "dtype"):
        return tuple(value.shape) == () and dtype_name(value).startswith(dtypes)
    return hasattr(value, "__float__") or hasattr(value, "__index__")


def check_path(value: object, name: str, *, such_as: str) -> Path:
    """Return what names a file or a directory as a path; `such_as` is an example."""
    if not isinstance(value, str | PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name} must be a path, such as {such_as!r}, got {shown(value)}")
    if not os.fspath(value):
        raise ValueError(f"{name} is an empty text: it must be a path, such as {such_as!r}")
    return Path(value)


def check_file_path(value: object, name: str, *, such_as: str) -> Path:
    """Return the path of a file that is to be written, which must not be that of a directory."""
    path = check_path(value, name, such_as=such_as)
    if path.is_dir():
        raise IsADirectoryError(
            f"{name} is {str(path)!r}, which is a directory: name a file in it, such as "
            f"{str(path / such_as)!r}"
        )
    return path


def unfit_for(function: Callable[..., Any], arguments: Sequence[object]) -> str | None:
    """Say why a function does not take these arguments; None if it does, or nobody knows."""
    try:
        taken = signature(function)
    except (TypeError, ValueError):  # of a builtin
        return None
    try:
        taken.bind(*arguments)
    except TypeError as error:
        return str(error)
    return None


def check_flag(value: object, name: str) -> bool:
    """Return True or False, NumPy's included."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def check_seed(seed: object) -> np.random.Generator:
    """Make the generator of a seed; see `numpy.random.default_rng` for what a seed may be."""
    try:
        return np.random.default_rng(seed)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"seed must be a whole number from 0 on, or None, got {shown(seed)}"
        ) from None


def is_masked(array: object) -> bool:
    """Whether `array` masks some values, which would be used all the same, in silence."""
    # NumPy imports np.ma when it is first asked for, which an array without a mask never needs.
    return type(array) is not np.ndarray and isinstance(array, np.ma.MaskedArray)


LARGEST_ONE_HOT = 1 << 28
"""So many numbers: 1 GiB in float32, 60,000 labels of 4,473 classes."""


def check_one_hot_size(samples: int, classes: int, what: str) -> None:
    """Refuse labels that would take more memory than a machine has, one-hot; `what` says whose.

    A label that is none, such as 2147483647 for "unknown", asks for so many classes.
    """
    size = max(1, samples) * classes
    if size > LARGEST_ONE_HOT:
        raise ValueError(
            f"{what}: {samples:,} one-hot labels of {classes:,} classes would take {size:,} "
            f"numbers, and at most {LARGEST_ONE_HOT:,} are made"
        )
