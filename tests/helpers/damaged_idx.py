"""IDX files that were damaged."""

from __future__ import annotations

import gzip
import math
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.datasets import read_idx
from tests.helpers.mutations import mutated

CODES = {
    "uint8": 0x08,
    "int8": 0x09,
    "int16": 0x0B,
    "int32": 0x0C,
    "float32": 0x0D,
    "float64": 0x0E,
}


def header(code: int, *shape: int) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


def idx_bytes(array: NDArray[Any]) -> bytes:
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return header(CODES[array.dtype.name], *array.shape) + big_endian.tobytes()


def assert_usual_layout(array: NDArray[Any]) -> None:
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.flags.aligned
    assert array.dtype.isnative


def read_damaged(path: Path, seed: int) -> bool:
    """Read a damaged file: True if that gives an array, False if it gives the documented error.

    The damage is that of the file itself, or of what is inside of a sound compressed file.
    """
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(sorted(CODES)))
    shape = tuple(rng.integers(1, 6, rng.integers(1, 5)))
    content = idx_bytes(rng.integers(0, 100, shape).astype(kind))
    compressed, outside = rng.random(2) < 0.5
    if compressed:
        damaged = gzip.compress(mutated(content, rng), 1, mtime=0)
        if outside:
            damaged = mutated(gzip.compress(content, 1, mtime=0), rng)
    else:
        damaged = mutated(content, rng)
    path.write_bytes(damaged)
    tracemalloc.start()
    try:
        array, message = read_idx(path), ""
    except ValueError as error:
        array, message = None, str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2**22, seed
    if array is None:
        assert message.startswith(f"{path}: expected "), seed
        return False
    assert_usual_layout(array)
    assert array.nbytes == math.prod(array.shape) * array.itemsize <= 2**18, seed
    return True
