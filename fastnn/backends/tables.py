"""Tables of pandas that NumPy reads as objects, though all of their columns are numbers.

These are of dtypes of pandas' own, nullable ones and Arrow's, or of booleans beside other numbers,
as `pandas.get_dummies` makes them. Here they are read as numbers, if no gap is in the way. pandas
is not imported: a table is known by what it offers.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def numbers_of_table(table: Any) -> np.ndarray[Any, Any] | None:
    """Read a table or a column of pandas as numbers, of a dtype that all columns fit into.

    None where NumPy reads it itself, where not all of it is numbers, and where it has gaps that
    NumPy has no number for.
    """
    if not (hasattr(table, "isna") and hasattr(table, "to_numpy") and hasattr(table, "dtypes")):
        return None
    dtypes = list(table.dtypes) if hasattr(table, "columns") else [table.dtype]
    kinds = {getattr(dtype, "kind", "O") for dtype in dtypes}
    if not kinds <= set("fiub"):
        return None
    if all(isinstance(dtype, np.dtype) for dtype in dtypes):
        if "b" not in kinds or len(kinds) == 1:
            return None
    elif bool(np.any(np.asarray(table.isna()))):
        return None
    common = np.result_type(*[getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes])
    return table.to_numpy(dtype=common)  # type: ignore[no-any-return]
