"""A data set of compressed rows (CSR), as it comes from scipy.sparse.

Nothing of it is made dense but the rows that somebody asks for. Where a training step is compiled
for the CPU, it skips zeros, and takes compressed rows as they are.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array

Index = Any


class SparseRows:
    """Inputs (K, D) on the host, which look like an array that is read row by row.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array, in whatever format
        Compressed rows in order, without duplicates, are used as they are, and else copied.

    Raises
    ------
    ValueError
        If an index is out of range, as after a change of its arrays.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array or csr_matrix
    """

    ndim = 2

    def __init__(self, matrix: Any) -> None:
        _check(matrix)
        rows = matrix.tocsr()
        if not rows.has_canonical_format:
            rows = rows.copy() if rows is matrix else rows
            rows.sum_duplicates()
        self.matrix = rows

    @property
    def shape(self) -> tuple[int, int]:
        """K and D."""
        samples, features = self.matrix.shape
        return int(samples), int(features)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        dtype: np.dtype[Any] = self.matrix.dtype
        return dtype

    @property
    def size(self) -> int:
        """How many entries there are, zeros too."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Index) -> np.ndarray[Any, Any]:
        """Give some rows, a slice or an array of row numbers, as a dense array."""
        rows = index[0] if isinstance(index, tuple) else index
        return np.asarray(self.matrix[rows].toarray())

    def part(self, some: slice) -> SparseRows:
        """Give some rows, compressed."""
        return SparseRows(self.matrix[some])

    def astype(self, dtype: str) -> SparseRows:
        """Give the same rows with values of a dtype; themselves, if they have it already."""
        if self.dtype == dtype:
            return self
        return SparseRows(self.matrix.astype(dtype))

    def density(self) -> float:
        """Give the share of the entries that are there."""
        return float(self.matrix.nnz) / max(1, self.size)

    def density_of_features(self) -> np.ndarray[Any, Any]:
        """Give the share (D,) of the samples that have each feature."""
        counts = np.bincount(self.matrix.indices, minlength=self.shape[1])
        return np.asarray(counts / max(1, len(self)))


def _check(matrix: Any) -> None:
    """Refuse what SciPy's compiled code would follow to wherever an index leads."""
    try:
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)
        elif matrix.format == "coo":
            for axis, (places, length) in enumerate(
                zip((matrix.row, matrix.col), matrix.shape, strict=True)
            ):
                if places.size and not 0 <= places.min() <= places.max() < length:
                    raise ValueError(
                        f"coordinates along axis {axis} must be from 0 to {length - 1}"
                    )
    except ValueError as error:
        raise ValueError(f"a matrix of scipy.sparse is damaged: {error}") from error


def is_sparse(given: object) -> bool:
    """Whether it is a matrix of scipy.sparse, which is not imported for that."""
    module = sys.modules.get("scipy.sparse")
    return module is not None and bool(module.issparse(given)) and getattr(given, "ndim", 0) == 2


def take_rows(
    x: SparseRows, rows: Array, *, dtype: str | None = None, scale: float = 1.0, out: Array = None
) -> Array:
    """`Backend.take_rows` of compressed rows, to an array of NumPy's: a dense batch."""
    batch = x[rows].astype(dtype or x.dtype, copy=False)
    if out is None:
        return batch if scale == 1 else batch * batch.dtype.type(scale)
    np.multiply(batch, batch.dtype.type(scale), out=out)
    return out
