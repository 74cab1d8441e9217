"""Data sets that do not fit on the device, copied there in chunks."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

import numpy as np

from fastnn.backends.arrays import Array


class Feed(Protocol):
    """The way to the device for a data set in the host's memory.

    Attributes
    ----------
    x, t : array
        Room for a chunk of the data set, filled anew for each chunk. The step plan is made over
        these.
    w : array or None
        Likewise for the weights of the samples; None if they have none.
    """

    x: Array
    t: Array
    w: Array | None

    def chunks(
        self, order: np.ndarray[Any, Any], stop: Callable[[], bool]
    ) -> Generator[Array, None, None]:
        """Bring the samples to the device in this order, in chunks of whole batches.

        However it ends, also closed half way, nothing is under way any more when it has.

        Parameters
        ----------
        order : array (K,), int64
            On the host.
        stop : callable
            From when on this is true no more samples are gathered or brought to the device.

        Yields
        ------
        array, int64
            The rows of `x` and `t` that hold the chunk, in order.
        """
