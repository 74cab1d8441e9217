"""One file in the IDX format, the format of MNIST."""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.checks import check_path
from fastnn.system.regular_file import open_regular

GZIP_MAGIC = b"\x1f\x8b"
MAGIC_SIZE = 4
CHUNK_SIZE = 1 << 20

ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}


def read_idx(path: str | PathLike[str]) -> NDArray[Any]:
    """Read one IDX file, compressed with gzip or not.

    Parameters
    ----------
    path : str or path-like
        The file. Its content, not its name, tells whether it is compressed.

    Returns
    -------
    ndarray
        The array in the shape that the file states, of type uint8, int8, int16, int32, float32 or
        float64: writable, C-contiguous and in the machine's own byte order.

    Raises
    ------
    ValueError
        The file is not IDX, is cut short, goes on after its end, or its compressed data is
        corrupt. The message names the file, what was expected and what was found.
    OSError
        The file cannot be opened: FileNotFoundError, IsADirectoryError and so on; or it is no
        regular file.

    Notes
    -----
    An IDX file is two zero bytes, one byte for the element type, one for the number of dimensions,
    the length of each dimension as a big-endian unsigned 32-bit integer, and then the elements,
    big-endian, the last dimension varying fastest. The memory used follows what the file holds,
    whatever sizes its header claims.

    References
    ----------
    Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits", section
    "File formats for the MNIST database".
    """
    path = check_path(path, "path", such_as="train-images-idx3-ubyte")
    with open_regular(path) as file:
        if file.peek(len(GZIP_MAGIC))[: len(GZIP_MAGIC)] != GZIP_MAGIC:
            return _read_array(file, path, file_size=os.fstat(file.fileno()).st_size)
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                return _read_array(unpacked, path, file_size=None)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(
                f"{path}: expected sound gzip data, found it corrupt or cut short: {error}"
            ) from error


def _read_array(stream: io.BufferedIOBase, path: Path, file_size: int | None) -> NDArray[Any]:
    element_type, shape = _read_header(stream, path)
    described = f"{' x '.join(map(str, shape))} elements of {element_type.name}"
    data_size = math.prod(shape) * element_type.itemsize
    if file_size is None:
        data = _read_at_most(stream, data_size + 1)
        _check_data_size(len(data), data_size, described, path)
        array = np.frombuffer(data, dtype=element_type)
    else:
        # Ahead of allocating, because the header may claim any size.
        header_size = MAGIC_SIZE + 4 * len(shape)
        _check_data_size(file_size - header_size, data_size, described, path)
        array = np.empty(data_size, dtype=np.uint8)
        _check_data_size(stream.readinto(array.data), data_size, described, path)
        array = array.view(element_type)
    if not element_type.isnative:
        array = array.byteswap(inplace=True).view(element_type.newbyteorder("="))
    try:
        return array.reshape(shape)
    except ValueError as error:
        # More dimensions than NumPy has, or a zero beside lengths whose product overflows.
        raise ValueError(
            f"{path}: expected a shape that NumPy can hold, found {len(shape)} dimensions "
            f"{shape}: {error}"
        ) from error


def _read_header(stream: io.BufferedIOBase, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(MAGIC_SIZE)
    if len(magic) < MAGIC_SIZE:
        raise ValueError(
            f"{path}: expected an IDX header of {MAGIC_SIZE} bytes or more, found {len(magic)}"
        )
    if magic[:2] != b"\0\0":
        raise ValueError(
            f"{path}: expected an IDX file, which starts with the bytes 00 00, "
            f"found {magic.hex(' ')}"
        )
    type_code, dimensions = magic[2], magic[3]
    if type_code not in ELEMENT_TYPES:
        known = ", ".join(f"0x{code:02X} ({kind.name})" for code, kind in ELEMENT_TYPES.items())
        raise ValueError(f"{path}: expected an element type of {known}, found 0x{type_code:02X}")
    if dimensions == 0:
        raise ValueError(f"{path}: expected one dimension or more, found 0")
    lengths = stream.read(4 * dimensions)
    if len(lengths) < 4 * dimensions:
        raise ValueError(
            f"{path}: expected {4 * dimensions} bytes of lengths for {dimensions} dimensions, "
            f"found {len(lengths)}"
        )
    return ELEMENT_TYPES[type_code], struct.unpack(f">{dimensions}I", lengths)


def _read_at_most(stream: io.BufferedIOBase, limit: int) -> bytearray:
    # Grown chunk by chunk, because the header of a compressed file may claim any size. A
    # bytearray, because NumPy can then write to the data in place instead of copying it.
    data = bytearray()
    while chunk := stream.read(min(CHUNK_SIZE, limit - len(data))):
        data += chunk
    return data


def _check_data_size(found: int, expected: int, described: str, path: Path) -> None:
    if found < expected:
        raise ValueError(
            f"{path}: expected {expected} bytes of data, {described}, found only {found}; "
            f"the file is cut short or its header is wrong"
        )
    if found > expected:
        raise ValueError(
            f"{path}: expected {expected} bytes of data, {described}, found bytes after them"
        )
