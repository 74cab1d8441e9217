"""Tables of pandas, polars and Arrow: what messages say of their columns.

No library is imported for that: a table is known by the names of its classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.wording import a_kind, class_name, shortened, shown

Columns = list[tuple[Any, Any]]

NUMBERS = ("int", "uint", "float", "double", "halffloat", "bool", "decimal")
"""How polars and Arrow begin the names of dtypes that are real numbers, in small letters."""


class TableWords(NamedTuple):
    """What a library calls things, with ``{x}`` for the table.

    Attributes
    ----------
    columns : callable
        Gives the name of each column of a table and its dtype.
    place : str
        An element, by ``{row}`` and ``{column}``.
    encode, leave_out : str
        What becomes of the ``{columns}`` that are no numbers.
    fill : str
        Fills gaps.
    """

    columns: Callable[[Any], Columns]
    place: str
    encode: str
    leave_out: str
    fill: str


PANDAS = TableWords(
    columns=lambda table: list(table.dtypes.items()),
    place="{x}.iloc[{row}, {column}]",
    encode="for categories by pandas.get_dummies({x})",
    leave_out='{x}.select_dtypes("number")',
    fill="{x}.fillna({x}.mean())",
)
POLARS = TableWords(
    columns=lambda table: list(table.schema.items()),
    place="{x}[{row}, {column}]",
    encode="for categories by {x}.to_dummies({columns})",
    leave_out="{x}.drop({columns})",
    fill='{x}.fill_nan(None).fill_null(strategy="mean")',
)
ARROW = TableWords(
    columns=lambda table: [(field.name, field.type) for field in table.schema],
    place="{x}[{column}][{row}]",
    encode="for categories by pandas.get_dummies({x}.to_pandas())",
    leave_out="{x}.drop_columns({columns})",
    fill="{x}.to_pandas().fillna(0)",
)
TABLES = {
    "pandas.DataFrame": PANDAS,
    "pandas.core.frame.DataFrame": PANDAS,
    "polars.dataframe.frame.DataFrame": POLARS,
    "pyarrow.lib.Table": ARROW,
    "pyarrow.lib.RecordBatch": ARROW,
}


def words_of(table: object) -> TableWords | None:
    """Give the words of the library that a table is of; None for what is no table."""
    names = (class_name(cls) for cls in type(table).__mro__)
    return next((TABLES[name] for name in names if name in TABLES), None)


def no_number_columns(table: Any, name: str) -> str | None:
    """Say which columns of a table are no numbers, and what to do; None if all of them are."""
    words = words_of(table)
    if words is None:
        return None
    wrong = [(column, dtype) for column, dtype in words.columns(table) if not _is_number(dtype)]
    if not wrong:
        return None
    some = ", ".join(shortened([f"{shown(column)} has dtype {dtype}" for column, dtype in wrong]))
    columns = f"[{', '.join(shown(column) for column, _ in wrong)}]"
    it, them = ("it", "column") if len(wrong) == 1 else ("them", "columns")
    encode, leave_out = (
        text.format(x=name, columns=columns) for text in (words.encode, words.leave_out)
    )
    return f"{them} {some}: encode {it} in numbers, {encode}, or leave {it} out, {leave_out}"


def _is_number(dtype: Any) -> bool:
    kind = getattr(dtype, "kind", None)  # of NumPy's dtypes, and of pandas' own
    return kind in tuple("fiub") if kind else str(dtype).lower().startswith(NUMBERS)


def of_column(table: object, index: tuple[int, ...]) -> str:
    """Name the column of an element of a table, for behind its place; else an empty text."""
    words = words_of(table)
    if words is None or len(index) != 2:
        return ""
    return f", in column {shown(words.columns(table)[index[1]][0])},"


def gaps(table: Any, numbers: np.ndarray[Any, Any], name: str, argument: str) -> str | None:
    """Say where a table, of which `numbers` were read, has gaps, and what to do; None without any.

    `name` is what messages call it, and `argument` what a user may have written.
    """
    words = words_of(table)
    if words is None or numbers.ndim != 2 or numbers.dtype.kind != "f":
        return None
    missing = np.isnan(numbers)
    if not missing.any():
        return None
    columns = [column for column, _ in words.columns(table)]
    found = [shown(columns[number]) for number in np.flatnonzero(missing.any(axis=0))]
    row, column = np.argwhere(missing)[0].tolist()
    place = words.place.format(x=argument, row=row, column=column)
    plural = "s" if len(found) > 1 else ""
    told = about_gaps(
        f"in row {row}, {place}",
        words.fill.format(x=argument),
        f"those where np.isnan({argument}).any(axis=1)",
    )
    return (
        f"{name} is {a_kind(table)} with gaps (NaN) in the column{plural} "
        f"{', '.join(shortened(found))}, {told}"
    )


def about_gaps(first: str, fill: str, leave_out: str) -> str:
    """Say where the first gap is, and by which code they are filled, or samples left out."""
    return f"the first {first}: fill them, {fill}, or leave such samples out, {leave_out}"
