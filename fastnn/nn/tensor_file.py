"""Reading safetensors files without trusting a byte of them.

The format is https://huggingface.co/docs/safetensors: eight bytes with the length of a header, the
header in JSON, and the numbers. The library of that name writes what fastnn saves; it is read here,
so that any bytes at all end in an array or in a ValueError, in memory that follows what the file
holds, and so that the numbers are copied once, into arrays that may be written to.
"""

from __future__ import annotations

import io
import json
import math
from typing import Any, NamedTuple

import numpy as np

HostArrays = dict[str, np.ndarray[Any, Any]]

LENGTH_SIZE = 8
LARGEST_HEADER = 1 << 24
"""A network of 80,000 layers has a header as long as this; one without bounds fills the memory."""

DTYPES: dict[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4")}
"""What a network computes in, and what is saved."""


class Tensor(NamedTuple):
    """What the header says of an array: where its bytes begin and end, after the header."""

    begin: int
    end: int
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def read_tensors(file: io.BufferedIOBase, size: int) -> tuple[HostArrays, dict[str, str]]:
    """Read a file of `size` bytes: its arrays, and what stands in its metadata.

    Raises
    ------
    ValueError
        If it is no safetensors file, or not a whole one, or holds others than float32 and float64.
    """
    length = int.from_bytes(_read_exactly(file, LENGTH_SIZE), "little")
    behind = size - LENGTH_SIZE - length
    if behind < 0 or length > LARGEST_HEADER:
        raise ValueError(f"it claims a header of {length} bytes")
    header = parse_json(_read_exactly(file, length).decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is no dictionary")
    metadata = header.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())):
        raise ValueError("its metadata are not texts by name")
    # Checked as a whole ahead of allocating, because a header may claim any size.
    tensors = sorted(_tensor(name, described) for name, described in header.items())
    position = 0
    for tensor in tensors:
        if tensor.begin != position:
            raise ValueError(f"{tensor.name!r} does not begin where the array before it ends")
        position = tensor.end
    if position != behind:
        raise ValueError(f"its arrays take {position} bytes, and it has {behind} for them")
    return {tensor.name: _read_array(file, tensor) for tensor in tensors}, metadata


def parse_json(text: str) -> Any:
    """Parse JSON; a name that occurs twice, or any other fault, is a ValueError."""
    try:
        return json.loads(text, object_pairs_hook=_names_once)
    except RecursionError:
        raise ValueError("lists in lists without end") from None


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    for name in found:
        name.encode()  # half a surrogate pair is no text: UnicodeEncodeError, which is a ValueError
    return found


def _tensor(name: str, described: Any) -> Tensor:
    wrong = ValueError(f"it does not say what {name!r} is")
    if not (isinstance(described, dict) and set(described) == {"dtype", "shape", "data_offsets"}):
        raise wrong
    kind, shape, offsets = (described[key] for key in ("dtype", "shape", "data_offsets"))
    if not (_sizes(shape) and _sizes(offsets) and len(offsets) == 2 and isinstance(kind, str)):
        raise wrong
    if kind not in DTYPES:
        raise ValueError(f"{name!r} is of the type {kind!r}, neither float32 nor float64")
    begin, end = offsets
    if end - begin != math.prod(shape) * DTYPES[kind].itemsize:
        raise ValueError(f"{name!r} has {end - begin} bytes for the shape {shape} of {kind}")
    return Tensor(begin, end, name, DTYPES[kind], tuple(shape))


def _sizes(value: Any) -> bool:
    """Whether this is a list of sizes, each of them one that a machine can have."""
    return (
        isinstance(value, list)
        and len(value) <= 32  # as many dimensions as every NumPy has
        and all(type(size) is int and 0 <= size < 1 << 63 for size in value)
    )


def _read_array(file: io.BufferedIOBase, tensor: Tensor) -> np.ndarray[Any, Any]:
    data = np.empty(tensor.end - tensor.begin, np.uint8)
    if file.readinto(data.data) != data.size:
        raise ValueError("it was cut short while it was read")
    array = data.view(tensor.dtype).reshape(tensor.shape)
    return array.astype(tensor.dtype.newbyteorder("="), copy=False)  # a copy on big-endian machines


def _read_exactly(file: io.BufferedIOBase, count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise ValueError(f"it ends after {len(found)} of {count} bytes")
    return found
