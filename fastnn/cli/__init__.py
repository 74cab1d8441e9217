"""The command `fastnn`: one file a command."""

from __future__ import annotations

import inspect
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
for command in (train, check, info, predict, report, bench, warmup):
    # Typer keeps the line breaks of a docstring, and breaks lines of 80 columns besides.
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    app.command(help="\n\n".join(" ".join(text.split()) for text in paragraphs))(command)


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
    except OSError as error:  # its text would begin with the number of the error
        named = f": {error.filename}" if error.filename else ""
        say_aside(f"fastnn: {error.strerror}{named}" if error.strerror else f"fastnn: {error}")
        sys.exit(2)
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:
        say_aside(f"fastnn: {error}")
        sys.exit(2)
