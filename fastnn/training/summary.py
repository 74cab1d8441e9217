"""A network as a table: its layers, what they give, their parameters, and what `fit` runs where."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastnn.nn.activations import ACTIVATIONS
from fastnn.nn.batch_normalization import BatchNormalization
from fastnn.nn.dropout import Dropout
from fastnn.nn.layer import Layer, is_unmodified, parameter_names
from fastnn.nn.layers import Affine
from fastnn.nn.modes import call
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.sequential import Sequential
from fastnn.nn.validation import check_batch
from fastnn.training.arguments import check_optimizer
from fastnn.training.explanation import Explanation, explain
from fastnn.training.html_table import html_table
from fastnn.training.planner import label_of

COLUMNS = ("layer", "kind", "output", "parameters", "runs")
UNKNOWN = "?"
WIDTH = 100
"""Of the table as a text, at most."""


@dataclass(frozen=True)
class SummaryRow:
    """What is said of a layer, of the loss or of the optimizer.

    Attributes
    ----------
    layer : str
        Its name in the network.
    kind : str
        What it is, with the numbers that it was made with.
    output : str
        The shape of what it gives for N samples, "?" where that is not known.
    parameters : int or None
        Numbers that are trained; None where it is not known which these are.
    runs : str
        How `fit` runs it, and why not in a faster way.
    """

    layer: str
    kind: str
    output: str
    parameters: int | None
    runs: str

    def cells(self) -> tuple[str, ...]:
        """Give the row as texts."""
        count = UNKNOWN if self.parameters is None else f"{self.parameters:,}"
        return self.layer, self.kind, self.output, count, self.runs


@dataclass(frozen=True)
class Summary:
    """A network as a table: ``print`` it, or end a notebook's cell with it.

    Attributes
    ----------
    title : str
        The class of the network, its backend and dtype.
    rows : tuple of SummaryRow
        The layers in order, the loss, and the optimizer.
    remarks : tuple of str
        Sentences on all of it, the number of parameters first.
    """

    title: str
    rows: tuple[SummaryRow, ...]
    remarks: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """How many numbers are trained, as far as that is known."""
        return sum(row.parameters or 0 for row in self.rows)

    def __rich__(self) -> Any:
        """Give what rich shows in colour: ``rich.print(network.summary())``."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table()
        for column in COLUMNS:
            if column == "parameters":
                table.add_column(column, justify="right", no_wrap=True)
            else:
                table.add_column(column, overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row.cells()))
        return Group(Text(self.title), table, Text("\n".join(self.remarks)))

    def __str__(self) -> str:
        table = [COLUMNS, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        room = WIDTH - len(" | ") * (len(COLUMNS) - 1) - len("| ") - len(" |")
        while sum(widths) > room:
            widths[widths.index(max(widths))] -= 1
        head, *rows = (_lines(cells, widths) for cells in table)
        rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
        text = [self.title, "", *head, rule, *itertools.chain(*rows), ""]
        return "\n".join([*text, *(_wrapped(remark, WIDTH) for remark in self.remarks)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = [row.cells() for row in self.rows]
        return html_table(self.title, COLUMNS, rows, self.remarks, numbers=("parameters",))


def _lines(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    """Give the lines of a row of the table, in plain characters, which every terminal has."""
    folded = [_wrapped(cell, width).splitlines() for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for parts in itertools.zip_longest(*folded, fillvalue=""):
        line = [
            part.rjust(width) if column == "parameters" else part.ljust(width)
            for column, part, width in zip(COLUMNS, parts, widths, strict=True)
        ]
        lines.append(f"| {' | '.join(line)} |")
    return lines


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_on_hyphens=False)


def summarize(network: Sequential, optimizer: Optimizer | None = None, x: object = None) -> Summary:
    """Give a network as a table; see `Sequential.summary`."""
    shapes = _shapes(network) if x is None else _shapes_for(network, x)
    remarks: list[str] = []
    if optimizer is not None:
        check_optimizer(optimizer)
    try:
        explanation: Explanation | None = explain(network, optimizer)
    except TypeError as error:
        explanation = None
        remarks.append(f"fit refuses this network: {error}")
    ways, rows = _ways(network, explanation), []
    for (name, layer), shape in zip(network.layers.items(), shapes, strict=True):
        output = UNKNOWN if shape is None else f"({', '.join(map(str, ('N', *shape)))})"
        count = _parameters(layer)
        if id(layer) in network.unnamed() and network.made_with.get(name):
            count = None
        rows.append(SummaryRow(str(name), _kind(layer), output, count, next(ways)))
    last = network.last_layer
    rows.append(SummaryRow("last_layer", _kind(last), "()", _parameters(last), next(ways)))
    if explanation is not None:
        remarks.append(f"{explanation.parts[-1][0]}: {next(ways)}")
        remarks += explanation.remarks
    total = sum(row.parameters or 0 for row in rows)
    size = _bytes(total * (8 if network.dtype == "float64" else 4))
    counted = f"{total:,} parameters, {size} in {network.dtype}"
    if any(row.parameters is None for row in rows):
        counted += f"; {UNKNOWN} is found by network.gradient(x, t)"
    title = f"{type(network).__name__} on {network.backend.name}, {network.dtype}"
    return Summary(title, tuple(rows), (counted, *remarks))


def _ways(network: Sequential, explanation: Explanation | None) -> Iterator[str]:
    """Say of each layer, of the loss and of the optimizer how `fit` runs it."""
    labels = [label_of(str(name), layer) for name, layer in network.layers.items()]
    if explanation is None:
        yield from ["not by fit"] * (len(labels) + 1)
        return
    position = 0
    for part, reason in explanation.parts:
        way = f"{explanation.runs}: {reason}" if reason else explanation.runs
        yield way
        # A part is a layer, or a layer and the activation behind it.
        together = position + 1 < len(labels) and part == ", ".join(labels[position : position + 2])
        if together:
            yield way
        position += 1 + together


def _shapes(network: Sequential) -> Iterator[tuple[int, ...] | None]:
    """Give what layers give for a sample, as far as it follows from their parameters."""
    shape: tuple[int, ...] | None = None
    for layer in network.layers.values():
        if is_unmodified(layer, Affine):
            shape = (int(layer.W.shape[1]),)
        elif is_unmodified(layer, BatchNormalization):
            shape = (int(layer.gamma.shape[0]),) if shape is None else shape
        elif not any(is_unmodified(layer, cls) for cls in (*ACTIVATIONS, Dropout)):
            shape = None
        yield shape


def _shapes_for(network: Sequential, x: object) -> Iterator[tuple[int, ...]]:
    """Give what layers give for a sample of `x`, seen on a copy."""
    twin = network.copy()
    values = check_batch(x, twin.backend, twin.dtype)
    if values.ndim == 1:
        values = values[None, :]
    for layer in twin.layers.values():
        values = call(layer.forward, values, train_flg=False, for_backward=False)
        yield tuple(values.shape[1:])


def _parameters(layer: Any) -> int | None:
    return sum(int(math.prod(getattr(layer, name).shape)) for name in parameter_names(layer))


def _kind(layer: Any) -> str:
    described = layer._described() if isinstance(layer, Layer) else []
    name = type(layer).__name__
    return f"{name}({', '.join(described)})" if described else name


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
