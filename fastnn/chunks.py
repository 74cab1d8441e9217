"""Large arrays in chunks."""

from __future__ import annotations

from collections.abc import Iterator


def chunks(length: int, size: int) -> Iterator[slice]:
    """Cut ``range(length)`` into slices of `size`, the last one as long as what is left.

    None ends after `length`, which the array API standard leaves undefined.
    """
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
