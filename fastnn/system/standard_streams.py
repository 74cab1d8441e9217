"""What is said on standard output and standard error, where that works.

A standard stream may be None (as under pythonw), closed, full, a pipe that nobody reads, or an
object of the user's own that raises anything. No training and no command ends because of that.
"""

from __future__ import annotations

import warnings
from typing import Any

from fastnn.system.caller import depth_of_caller


def is_terminal(stream: Any) -> bool:
    """Whether a stream, which may be None, closed, or no stream at all, is a terminal."""
    try:
        return bool(stream.isatty())
    except Exception:
        return False


def say(line: str, stream: Any) -> bool:
    """Print a line on a standard stream; give whether that worked.

    A character that the stream's encoding does not have is written as its number: a file's name may
    have any, and Windows sends pipes what its code page has.
    """
    if stream is None:  # for which print would take standard output
        return False
    try:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except Exception:
        return False
    return True


def warn(words: str, category: type[Warning]) -> None:
    """Warn of something, at the line of the user's code that called fastnn.

    Where warnings are errors it raises, as ever.
    """
    try:
        warnings.warn(words, category, stacklevel=depth_of_caller())
    except Warning:
        raise
    except Exception:  # of standard error, which `warnings` writes to
        return


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
            except Exception:
                self._works = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._wrapped == getattr(other, "_wrapped", other))

    def __hash__(self) -> int:
        return hash(self._wrapped)
