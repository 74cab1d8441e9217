"""Tables of pandas whose numbers are of dtypes of its own: nullable ones, and Arrow's.

NumPy reads such a table as objects, and here it is read as numbers, if it has no gaps. pandas is
not imported: a table is known by what it offers.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def numbers_of_table(table: Any) -> np.ndarray[Any, Any] | None:
    """Read a table or a column of pandas as numbers, of a dtype that all columns fit into.

    None where NumPy reads it itself, where not all of it is numbers, and where it has gaps.
    """
    if not (hasattr(table, "isna") and hasattr(table, "to_numpy") and hasattr(table, "dtypes")):
        return None
    dtypes = list(table.dtypes) if hasattr(table, "columns") else [table.dtype]
    if all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return None
    if not all(getattr(dtype, "kind", "O") in "fiub" for dtype in dtypes):
        return None
    if bool(np.any(np.asarray(table.isna()))):
        return None
    common = np.result_type(*[getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes])
    return table.to_numpy(dtype=common)  # type: ignore[no-any-return]
