"""A kernel of the fused step, ready to be launched."""

from __future__ import annotations

from typing import Protocol


class Launch(Protocol):
    """A kernel with all that it is given but the samples of the batch."""

    def __call__(self, *, N: int) -> None: ...
