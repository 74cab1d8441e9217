"""The command `fastnn`: one file a command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fastnn import __version__
from fastnn.cli.bench import bench
from fastnn.cli.check import check
from fastnn.cli.info import info
from fastnn.cli.output import say_aside
from fastnn.cli.predict import predict
from fastnn.cli.report import report
from fastnn.cli.train import train
from fastnn.cli.warmup import warmup

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(train)
app.command()(check)
app.command()(info)
app.command()(predict)
app.command()(report)
app.command()(bench)
app.command()(warmup)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fastnn {__version__}")
        raise typer.Exit


@app.callback()
def fastnn(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Train and check the neural network you write from scratch, on NumPy, Numba or CuPy."""


def main() -> None:
    """Run the command; what went wrong is one line on standard error, and exit status 2."""
    try:
        app(prog_name="fastnn")
    except (ValueError, TypeError, RuntimeError, OSError, MemoryError) as error:
        say_aside(f"fastnn: {error}")
        sys.exit(2)
