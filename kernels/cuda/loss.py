"""Launcher of ``loss.cu``: the loss of a last layer that is too wide for ``head``."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cuda.loading import kernel
from fastnn.kernels.cuda.losses import Targets
from fastnn.kernels.cuda.sizes import ROW_BY_ROW, WARP, blocks_of

Array = Any


class Loss:
    """``losses`` and ``dout`` of scores that are the sum of parts and bias."""

    def __init__(self, dtype: str, targets: Targets) -> None:
        self._kernel = kernel("loss", "loss", dtype, targets.type(dtype))
        self._targets, self._samples = targets.record(), np.int64(len(targets.t))

    def __call__(
        self, *, control: Array, parts: Array, b: Array, dout: Array, losses: Array, N: int
    ) -> None:
        """Launch it for N samples; parts (splits, N or more, C)."""
        warps = ROW_BY_ROW["WARPS"]
        scores = (parts, np.int32(len(parts)), b, self._targets, self._samples)
        arguments = (control, *scores, dout, losses, np.int32(N), np.int32(len(b)))
        self._kernel((blocks_of(N, warps),), (warps * WARP,), arguments)
