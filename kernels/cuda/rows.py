"""How kernels read rows of a data set: number by number, or neighbours in one access."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import C_TYPES

Array = Any


def row_type(dtype: str, data: Array) -> str:
    """Give the type, as a template argument, by which kernels of a dtype read the rows of `data`.

    As many neighbours as fill 16 bytes of shared memory once they are cast to `dtype`: 4 of
    float32, 2 of float64. So threads that lie side by side write side by side, whole rows at a
    time, and all threads of a block have the same to do. Every row has to begin where such an
    access may.

    Parameters
    ----------
    dtype : str
        Of the network.
    data : array (K, D)
        On the device, contiguous.
    """
    size = 16 // np.dtype(dtype).itemsize
    if data.shape[1] % size or data.data.ptr % (size * data.dtype.itemsize):
        return str(data.dtype.name)
    return f"Neighbours<{C_TYPES[data.dtype.name]}, {size}>"
