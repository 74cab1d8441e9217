"""The name of a backend: which it is, on which device, and how precise: "cupy:1:high"."""

from __future__ import annotations

import operator
from typing import NamedTuple

from fastnn.backends.names import what_was_meant
from fastnn.backends.precision import HIGHEST, PRECISIONS
from fastnn.wording import shown

MOST_DEVICES = 1 << 31
"""More than CUDA can number."""


class BackendName(NamedTuple):
    """The parts of a name, as they were written.

    Attributes
    ----------
    kind : str
        One of the registered names.
    device : str
        The number behind the colon; empty if there is none.
    precision : {"highest", "high", "medium"}
        What stands behind another colon; "highest" if nothing does.
    """

    kind: str
    device: str = ""
    precision: str = HIGHEST

    @classmethod
    def read(cls, name: str) -> BackendName:
        """Take a name apart."""
        kind, *rest = name.split(":")
        precision = rest.pop() if rest and rest[-1] in PRECISIONS else HIGHEST
        return cls(kind, ":".join(rest), precision)

    def __str__(self) -> str:
        precision = "" if self.precision == HIGHEST else self.precision
        return ":".join(part for part in (self.kind, self.device, precision) if part)


def with_device(name: object, device: int) -> str:
    """Add the number of a device to the name of a backend.

    Raises
    ------
    ValueError
        If it is none, or there is more than a name already.
    """
    try:
        index = -1 if isinstance(device, bool) else operator.index(device)
    except TypeError:
        index = -1
    if not 0 <= index < MOST_DEVICES:
        hint = what_was_meant(device) if isinstance(device, str) else ""
        raise ValueError(
            f"device must be the number of a device, such as 0, got {shown(device)}{hint}"
        )
    if not isinstance(name, str) or BackendName.read(name).device:
        raise ValueError(f"{name!r} has a device already: leave out device={index}")
    return str(BackendName.read(name)._replace(device=str(index)))


def with_precision(name: object, precision: str) -> str:
    """Add a precision to the name of a backend.

    Raises
    ------
    ValueError
        If it is none, or the name has one already, or leaves open which backend it is.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be 'highest', 'high' or 'medium', got {shown(precision)}")
    given = BackendName.read(name) if isinstance(name, str) else None
    if given is None or given.precision != HIGHEST:
        raise ValueError(f"{name!r} has a precision already: leave out precision={precision!r}")
    if given.kind == "auto" and precision != HIGHEST:
        raise ValueError(
            f"precision={precision!r} is of the cupy backend: name it instead of 'auto', as in "
            f"set_backend('cupy', precision={precision!r})"
        )
    return str(given._replace(precision=precision))
