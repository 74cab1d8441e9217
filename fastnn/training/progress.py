"""How far a training is: a bar in a terminal, one line in a notebook, else nothing.

Where it cannot be shown, training goes on without it.
"""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType
from typing import Any, Protocol, Self

from fastnn.system.standard_streams import QuietStream, is_terminal, say
from fastnn.training.compile_notice import CompileNotice
from fastnn.training.history import FLUSH_SECONDS, History
from fastnn.training.notebook_line import NotebookLine, is_notebook


class Shown(Protocol):
    """What shows a line of text with a number of steps."""

    def show(self, steps: int, before: str, after: str) -> None:
        """Show it."""

    def say(self, words: str) -> None:
        """Print a line on standard error, which does not cross what is shown."""

    def close(self) -> None:
        """Leave what was shown last."""


class ProgressBar:
    """Shows steps, loss, accuracy and samples a second, and tells of compiling.

    Standard error may be None, as under pythonw, closed, full or a broken pipe: from then on
    nothing is shown.

    Parameters
    ----------
    history : History
        Of the training.
    notice : CompileNotice
        What tells of compiling.
    steps : int or None
        Of the whole training, if that is known.
    epochs : int
        Of the whole training.
    shown : bool or None
        Whether there is to be a bar; None for one if standard error is a terminal, or in a
        notebook.
    """

    def __init__(
        self,
        history: History,
        notice: CompileNotice,
        steps: int | None,
        epochs: int,
        shown: bool | None,
    ) -> None:
        self._history, self._notice = history, notice
        self._steps, self._epochs = steps, epochs
        self._done = len(history.losses)
        notebook = is_notebook()
        self._wanted = (notebook or is_terminal(sys.stderr)) if shown is None else shown
        self._make = NotebookLine if notebook else TerminalBar
        self._line: Shown | None = None

    def update(self, steps: int, loss: float) -> None:
        """Tell of steps that were taken, and of the last loss."""
        before = self._done
        self._done += steps
        with contextlib.suppress(Exception):
            self._tell_of_compiling()
            if self._wanted:
                self._show(loss, before)

    def _tell_of_compiling(self) -> None:
        words = self._notice.news()
        if words and self._line is not None:
            self._line.say(words)
        elif words:
            say(words, sys.stderr)

    def _show(self, loss: float, done: int) -> None:
        history = self._history
        parts = [f"loss {loss:.4f}"]
        measured = history.measured("validation")
        if not measured and history.validation_losses:
            measured = {"validation loss": history.validation_losses}
        for measure, values in measured.items():
            parts.append(f"{measure} {values[-1]:.4f}")
        parts.append(f"{history.samples_per_second:,.0f} samples/s")
        where = f"epoch {len(history.epoch_steps)}/{self._epochs}"
        if self._line is None:  # only now: before that, kernels may have been compiled
            self._line = self._make(self._steps, done)
        self._line.show(self._done, where, ", ".join(parts))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._line is not None:
            with contextlib.suppress(Exception):
                if self._history.losses:  # its last accuracy came after its last step
                    self._show(self._history.losses[-1], self._done)
                self._line.close()


class TerminalBar:
    """tqdm's bar on standard error."""

    def __init__(self, steps: int | None, done: int) -> None:
        share, left = ("{percentage:3.0f}%|{bar}| ", "<{remaining}") if steps else ("", "")
        self._bar = _without_a_thread()(
            total=steps,
            initial=done,
            bar_format="".join(
                ["{desc} ", share, "{n_fmt}/{total_fmt} steps [{elapsed}", left, "{postfix}]"]
            ),
            mininterval=FLUSH_SECONDS,
            miniters=1,
            file=QuietStream(sys.stderr),
        )

    def show(self, steps: int, before: str, after: str) -> None:
        """See `Shown.show`."""
        self._bar.set_description_str(before, refresh=False)
        self._bar.set_postfix_str(after, refresh=False)
        self._bar.update(steps - self._bar.n)

    def say(self, words: str) -> None:
        """See `Shown.say`."""
        with self._bar.external_write_mode():
            say(words, sys.stderr)

    def close(self) -> None:
        """See `Shown.close`."""
        self._bar.close()


def _without_a_thread() -> Any:
    """Give the class of tqdm's bars without the thread that redraws bars which are told too little.

    These are told often enough, and there may be no thread to be had.
    """
    from tqdm import tqdm

    return type("Bar", (tqdm,), {"monitor_interval": 0})
