"""Options that several commands have, and what they turn into."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from fastnn import Backend, get_backend, set_backend
from fastnn.cli.output import say_aside

BackendOption = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help="Run on numpy, numba, cupy or auto; by default what FASTNN_BACKEND says, else auto.",
        metavar="NAME",
        show_default=False,
    ),
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", show_default=False)]
"""A network that fastnn saved. The texts of the commands say so: typer 0.18 to 0.25 leaves out the
help of an argument where click is newer."""
DtypeOption = Annotated[
    str, typer.Option("--dtype", help="Compute in float32 or float64.", metavar="DTYPE")
]
HiddenOption = Annotated[
    str,
    typer.Option(
        "--hidden", help="Give hidden layers so many units, as in 50 or 200,50.", metavar="SIZES"
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", help="Draw from this seed: the run is repeatable.", show_default=False),
]


def select_backend(name: str | None) -> Backend:
    """Select a backend; a fallback is told in a line on standard error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chosen = get_backend() if name is None else set_backend(name)
    for warning in caught:
        say_aside(f"fastnn: {warning.message}")
    return chosen


def sizes(text: str, option: str) -> list[int]:
    """Read a list of sizes, such as ``"200,50"``.

    Raises
    ------
    typer.BadParameter
        If there is anything but positive integers between the commas.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if min(numbers) < 1:
        raise typer.BadParameter(
            f"expected positive integers with commas between them, as in 200,50, got {text!r}",
            param_hint=option,
        )
    return numbers
