"""A small table as HTML, which a notebook shows at the end of a cell."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Sequence


def html_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    remarks: Iterable[str] = (),
    *,
    numbers: Collection[str] = (),
) -> str:
    """Give a table with a line above it and some below it; all texts are escaped.

    Parameters
    ----------
    title : str
    columns : sequence of str
    rows : iterable of sequence of str
        Of one text for each column.
    remarks : iterable of str, optional
    numbers : collection of str, optional
        Columns that stand on the right.
    """

    def line(kind: str, cells: Sequence[str]) -> str:
        return "".join(
            f'<{kind} style="text-align: {"right" if column in numbers else "left"}">'
            f"{html.escape(cell)}</{kind}>"
            for column, cell in zip(columns, cells, strict=True)
        )

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    below = "<br>".join(map(html.escape, remarks))
    return (
        f"<p>{html.escape(title)}</p><table><thead><tr>{line('th', columns)}</tr></thead>"
        f"<tbody>{body}</tbody></table><p>{below}</p>"
    )
