"""A line in a notebook that is replaced as training goes on, with or without ipywidgets."""

from __future__ import annotations

import html
import sys
from typing import Any

from fastnn.system.standard_streams import say


def is_notebook() -> bool:
    """Whether a notebook, or another frontend of Jupyter, shows what is displayed."""
    ipython = sys.modules.get("IPython")  # where it is not imported, nothing shows anything
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class NotebookLine:
    """Shows progress as an output of the cell.

    A saved notebook has the last state of it, as one line.

    Parameters
    ----------
    steps : int or None
        Of the whole training, if that is known.
    done : int
        Of these, how many were taken before.
    """

    def __init__(self, steps: int | None, done: int) -> None:
        display: Any = sys.modules["IPython"].display.display
        self._steps, self._line = steps, _Line("", "")
        self._display = display
        self._handle: Any = None

    def show(self, steps: int, before: str, after: str) -> None:
        """See `Shown.show`."""
        total = "" if self._steps is None else f"/{self._steps}"
        text = f"{before}, {steps}{total} steps, {after}"
        bar = "" if self._steps is None else f'<progress value="{steps}" max="{self._steps}">'
        line = _Line(text, f"<div>{bar}{'</progress> ' if bar else ''}{html.escape(text)}</div>")
        if self._handle is None:
            self._handle = self._display(line, display_id=True)
        else:
            self._handle.update(line)

    def say(self, words: str) -> None:
        """See `Shown.say`."""
        say(words, sys.stderr)

    def close(self) -> None:
        """See `Shown.close`: the last state stays."""


class _Line:
    def __init__(self, text: str, as_html: str) -> None:
        self._text, self._html = text, as_html

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._html
