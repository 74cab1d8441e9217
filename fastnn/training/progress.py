"""The progress bar; where it cannot be shown, training goes on without it."""

from __future__ import annotations

import contextlib
import sys
from types import TracebackType
from typing import Any, Self

from fastnn.training.history import FLUSH_SECONDS


class ProgressBar:
    """tqdm's bar on standard error.

    That may be None, as under pythonw, closed, full or a broken pipe: from then on nothing is
    shown.

    Parameters
    ----------
    steps : int
        Of the whole training.
    shown : bool
        Whether there is to be a bar at all.
    """

    def __init__(self, steps: int, shown: bool) -> None:
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


class QuietStream:
    """A stream that is written to as long as that works.

    It is equal to the stream underneath, by which tqdm knows the bars that a line would cross.
    """

    def __init__(self, stream: Any) -> None:
        self._wrapped = stream
        self._works = True

    def write(self, text: str) -> int:
        """Write, or do nothing."""
        self._try(self._wrapped.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, or do nothing."""
        self._try(self._wrapped.flush)

    def _try(self, method: Any, *arguments: Any) -> None:
        if self._works:
            try:
                method(*arguments)
            except Exception:  # what a stream of the user's own raises
                self._works = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._wrapped == getattr(other, "_wrapped", other))

    def __hash__(self) -> int:
        return hash(self._wrapped)
