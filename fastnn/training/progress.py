"""The progress bar; where it cannot be shown, training goes on without it."""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType
from typing import Any, Self

from fastnn.system.standard_streams import QuietStream
from fastnn.training.history import FLUSH_SECONDS


class ProgressBar:
    """tqdm's bar on standard error.

    That may be None, as under pythonw, closed, full or a broken pipe: from then on nothing is
    shown.

    Parameters
    ----------
    steps : int
        Of the whole training; None if that is not known.
    shown : bool
        Whether there is to be a bar at all.
    """

    def __init__(self, steps: int | None, shown: bool) -> None:
        self._bar: Any = None
        if shown and sys.stderr is not None:
            with contextlib.suppress(Exception):
                stream: Any = QuietStream(sys.stderr)
                self._bar = _without_a_thread()(
                    total=steps, unit="step", mininterval=FLUSH_SECONDS, miniters=1, file=stream
                )

    def update(self, steps: int, loss: float) -> None:
        """Tell of steps that were taken, and of the last loss."""
        if self._bar is not None:
            with contextlib.suppress(Exception):
                self._bar.update(steps)
                self._bar.set_postfix(loss=f"{loss:.4f}", refresh=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            with contextlib.suppress(Exception):
                self._bar.close()


def _without_a_thread() -> Any:
    """Give the class of tqdm's bars without the thread that redraws bars which are told too little.

    These are told often enough, and there may be no thread to be had.
    """
    from tqdm.auto import tqdm

    return type("Bar", (tqdm,), {"monitor_interval": 0})
