"""What the commands print; a standard output or error that is broken never ends a command.

These may be None, closed, full, or a pipe that nobody reads any more. What a command was called for
goes on, and is written to its files.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from fastnn import CaptureWarning, KernelCacheWarning, TrainingWarning


def say(line: str) -> None:
    """Print a line on standard output, if that works."""
    _print(line, sys.stdout)


def say_aside(line: str) -> None:
    """Print a line on standard error, if that works."""
    _print(line, sys.stderr)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream, which may be None or closed, is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Let fastnn's warnings be a line each on standard error."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say_aside(f"fastnn: {message}")

    with warnings.catch_warnings():
        for category in (CaptureWarning, KernelCacheWarning, TrainingWarning):
            warnings.simplefilter("always", category)
        warnings.showwarning = show
        yield


def _print(line: str, stream: TextIO | None) -> None:
    if stream is None:  # for which print would take standard output
        return
    try:
        print(line, file=stream, flush=True)
    except (OSError, ValueError):
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """Send what else is written to a stream nowhere.

    What it still holds would fail once more at exit, and Python would end with status 120.
    """
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
