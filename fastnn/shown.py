"""What Python prints for an object: a few lines, however large the object is."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 8
"""Of a longer list the first ones and the last one are shown."""


def shortened(parts: Sequence[str]) -> list[str]:
    """Give the parts of a list that are shown: all of a short one, the ends of a long one."""
    if len(parts) <= SHOWN:
        return list(parts)
    return [*parts[: SHOWN - 2], f"... {len(parts) - SHOWN + 1} more ...", parts[-1]]
