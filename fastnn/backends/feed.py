"""Data sets that have no room on the device, brought there piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from fastnn.backends.base import Array


class Feed(Protocol):
    """The way from the host for a data set in its memory.

    Attributes
    ----------
    x, t : array
        Room on the device for a piece of the data set, filled while `pieces` is iterated over.
        A step plan is made over these.
    """

    x: Array
    t: Array

    def pieces(
        self, order: np.ndarray[Any, Any], batch_size: int
    ) -> Iterator[tuple[int, Array]]:
        """Bring the samples here in this order, in large pieces of whole batches.

        Yields
        ------
        tuple of int and array (int64)
            Where the piece begins in `order`, and the rows of `x` and `t` that hold it.
        """
