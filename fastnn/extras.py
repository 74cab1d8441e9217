"""Packages that come with an extra of the distribution, and what is said where one is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def brought_by(extra: str, module: str, what: str, *, or_else: str = "") -> Iterator[None]:
    """Import in this block what an extra brings; without it, the error names the extra.

    Parameters
    ----------
    extra : str
        As in ``pip install 'fastnn-backends[extra]'``.
    module : str
        What may be missing. Any other missing module is told as it is: what is there is broken.
    what : str
        What needs it, and by which name users know it, such as "history.plot() needs matplotlib".
    or_else : str, optional
        What can be done without.

    Raises
    ------
    ImportError
        If the module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module:
            raise
        advice = f", or {or_else}" if or_else else ""
        raise ImportError(f"{what}: pip install 'fastnn-backends[{extra}]'{advice}") from error
