"""How messages name what they were given."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Iterable, Sequence


class _Repr(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        repr(x)  # the ValueError of too many digits, for which Python 3.14 writes where x lies
        return super().repr_int(x, level)


_repr = _Repr()
_repr.maxstring = _repr.maxlong = _repr.maxother = 60

LONG_INTEGER = 10**30
"""From which on an integer is cut, and its digits counted."""


def shown(value: object) -> str:
    """Write a value as Python does, in one line and cut where it is long; never an error."""
    if isinstance(value, int) and abs(value) > LONG_INTEGER:
        digits = int(value.bit_length() * math.log10(2)) + 1
        try:
            return f"{_repr.repr(value)} (about {digits} digits)"
        except ValueError:  # Python does not write integers of more than 4300 digits
            return f"{'a negative' if value < 0 else 'an'} integer of about {digits} digits"
    try:
        return " ".join(_repr.repr(value).split())
    except Exception:  # a __repr__ of somebody's own, or an integer that is too long, inside
        return a_kind(value)


def kind_of(thing: object) -> str:
    """Name the class of a thing as users know it: "scipy.sparse.csr_matrix", "dict"."""
    return class_name(type(thing)).removeprefix("builtins.")


def class_name(cls: type) -> str:
    """Name a class by its module without the private parts, where libraries move things about."""
    parts = [part for part in cls.__module__.split(".") if not part.startswith("_")]
    return ".".join([*parts, cls.__qualname__]) if parts else f"{cls.__module__}.{cls.__qualname__}"


def a_kind(thing: object) -> str:
    """Name the kind of a thing with its article, and its shape if it has one."""
    kind = kind_of(thing)
    shape = getattr(thing, "shape", None)
    of_shape = f" of shape {tuple(shape)}" if isinstance(shape, tuple) else ""
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}{of_shape}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give the nearest of the words that are known, to end an error with; an empty text if none."""
    nearest = difflib.get_close_matches(word[:40].lower(), known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


SHOWN = 8
"""Of a longer list the first ones and the last one are shown."""


def shortened(parts: Sequence[str]) -> list[str]:
    """Give the parts of a list that are shown: all of a short one, the ends of a long one."""
    if len(parts) <= SHOWN:
        return list(parts)
    return [*parts[: SHOWN - 2], f"... {len(parts) - SHOWN + 1} more ...", parts[-1]]
