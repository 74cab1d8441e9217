"""What the commands print, where that works.

What a command was called for goes on without, and is written to its files.
"""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from fastnn import CaptureWarning, KernelCacheWarning, TrainingWarning
from fastnn.system import standard_streams

WIDTH = 80


def say(line: str) -> None:
    """Print a line on standard output, if that works."""
    _say_or_silence(line, sys.stdout)


def folded(text: str, indent: int = 0) -> str:
    """Break a text into lines of 80 columns, all but the first of them indented."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def say_aside(line: str) -> None:
    """Print a line on standard error, if that works."""
    _say_or_silence(line, sys.stderr)


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


def _say_or_silence(line: str, stream: TextIO | None) -> None:
    """Print a line, or send what else is written to a broken stream nowhere.

    What it still holds would fail once more at exit, and Python would end with status 120.
    """
    if stream is None or standard_streams.say(line, stream):
        return
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
