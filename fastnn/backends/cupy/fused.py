"""A training step of a few kernels, for networks of Affine layers with or without ReLU.

With L layers, and the kernels of `fastnn.kernels.cuda`:

1. ``gather_product``: the batch from the data set, times W1.
2. ``hidden_product`` for each layer in the middle: bias and ReLU of the layer before, times W.
3. ``head``: bias and ReLU, the last product, softmax, loss, and back to the hidden gradient.
4. ``back`` for each layer in the middle, in reverse.
5. ``update_weights``: all weight gradients, with the update.

That is 2 L - 1 kernels; three for the book's network. Where the last layer is too wide for `head`
its product is one more ``hidden_product``, and `loss` and `back` follow: 2 L + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy.products import GRID, ROWS, Products
from fastnn.backends.plan import Block, StepPlan
from fastnn.kernels.cuda import kernel

SHARED_MEMORY = 48 * 1024
"""Bytes of shared memory that every device gives a block without being asked."""

DATA_DTYPES = ("uint8", "int8")
"""Dtypes that a data set may have besides the network's own."""

LAYER_UPDATE = np.dtype(
    [(name, "u8") for name in ("x", "dout", "W", "b")]
    + [(name, "i4") for name in ("D", "M", "first_block", "tiles_across")]
)
"""``LayerUpdate`` of ``weights.cu``."""


def fused_blocks(plan: StepPlan) -> tuple[Block, ...] | None:
    """Give the blocks of a plan that the kernels can run as a whole; None if they cannot.

    A data set that is not contiguous is made so, once.
    """
    blocks = plan.affine_blocks(activations=(None, "relu"), rules=("sgd_update",))
    x = plan.arrays["x_data"]
    if (
        blocks is None
        or x.dtype.name not in (*DATA_DTYPES, plan.dtype)
        or plan.batch_size > GRID * ROWS
    ):
        return None
    parameters = [plan.arrays[name] for name in plan.chain.parameters]
    if not all(array.flags.c_contiguous for array in parameters):
        return None
    for name in ("x_data", "t_data"):
        if not plan.arrays[name].flags.c_contiguous:
            plan.arrays[name] = plan.arrays[name].copy(order="C")
    return blocks


class FusedStep:
    """Launches the kernels of one step; see the module."""

    doing = "a kernel of the training step"

    def __init__(
        self, backend: Backend, products: Products, plan: StepPlan, blocks: tuple[Block, ...]
    ) -> None:
        import cupy

        self._blocks = blocks
        self._products = products
        self._dtype = dtype = plan.dtype
        self._x, self._t = plan.arrays["x_data"], plan.arrays["t_data"]
        self._scale = np.dtype(dtype).type(plan.scale)
        self._W = [plan.arrays[block.parameters[0]] for block in blocks]
        self._b = [plan.arrays[block.parameters[1]] for block in blocks]
        N, L = plan.batch_size, len(blocks)
        widths = [W.shape[1] for W in self._W]
        self._slices = [self._products.slices(N, *W.shape) for W in self._W]
        self._warps = self._warps_of_head(N)
        count = L - 1 if self._warps else L
        self._parts = [
            backend.empty((self._slices[i][0], N, widths[i]), dtype) for i in range(count)
        ]
        self._h = [backend.empty((N, width), dtype) for width in widths[:-1]]
        self._dout = [backend.empty((N, width), dtype) for width in widths]
        self._losses = backend.empty((N,), dtype)
        self._control = cupy.zeros(4, "int64")
        self._updates, self._update_blocks = self._describe_updates(cupy)

        data = self._x.dtype.name
        self._begin = kernel("control", "begin", dtype)
        self._gather_product = kernel("product", "gather_product", dtype, data)
        self._hidden_product = kernel("product", "hidden_product", dtype)
        self._head = kernel("head", "head", dtype)
        self._loss = kernel("loss", "loss", dtype)
        self._back = kernel("back", "back", dtype)
        self._update_weights = kernel("weights", "update_weights", dtype, data)

    def begin(self, rows: Array, losses: Array, hyperparameters: Mapping[str, float]) -> None:
        """Start many steps: their rows, where their losses go, the learning rate."""
        rate = np.dtype(self._dtype).type(hyperparameters["lr"])
        self._begin((1,), (1,), (self._control, rows, losses, rate))

    def launch(self, n: int) -> None:
        """Launch the kernels of the next step, of n samples."""
        last = len(self._blocks) - 1
        self._forward_from_data(n)
        for i in range(1, last if self._warps else last + 1):
            self._forward(i, n)
        if self._warps:
            self._launch_head(n)
        else:
            self._launch_loss(n)
        for i in range(last - 1 if self._warps else last, 0, -1):
            self._backward(i, n)
        arguments = (self._control, self._updates, np.int32(len(self._blocks)), self._x)
        self._update_weights(
            (self._update_blocks,),
            (self._products.threads,),
            (*arguments, np.int64(len(self._x)), self._scale, self._losses, np.int32(n)),
        )

    def obstacle(self, n: int) -> None:
        """See `StepLauncher.obstacle`: there is none."""

    def _forward_from_data(self, n: int) -> None:
        W, parts = self._W[0], self._parts[0]
        data = (self._x, np.int64(len(self._x)), self._scale)
        arguments = (self._control, *data, W, parts)
        self._gather_product(*self._product_grid(0, n), (*arguments, *self._sizes(0, n)))

    def _forward(self, i: int, n: int) -> None:
        before = (self._parts[i - 1], np.int32(self._slices[i - 1][0]), self._b[i - 1])
        relu = np.int32(self._blocks[i - 1].activation == "relu")
        arguments = (*before, relu, self._h[i - 1], self._W[i], self._parts[i])
        self._hidden_product(*self._product_grid(i, n), (*arguments, *self._sizes(i, n)))

    def _launch_head(self, n: int) -> None:
        M, C = self._W[-1].shape
        before = (self._parts[-1], np.int32(self._slices[-2][0]), self._b[-2])
        relu = np.int32(self._blocks[-2].activation == "relu")
        labels = (self._t, np.int64(len(self._t)))
        results = (self._h[-1], self._dout[-1], self._dout[-2], self._losses)
        sizes = (np.int32(n), np.int32(M), np.int32(C))
        self._head(
            (-(-n // self._warps),),
            (self._warps * 32,),
            (self._control, *before, relu, self._W[-1], self._b[-1], *labels, *results, *sizes),
            shared_mem=self._shared_of_head(self._warps),
        )

    def _launch_loss(self, n: int) -> None:
        scores = (self._parts[-1], np.int32(self._slices[-1][0]), self._b[-1])
        labels = (self._t, np.int64(len(self._t)))
        sizes = (np.int32(n), np.int32(self._W[-1].shape[1]))
        arguments = (self._control, *scores, *labels, self._dout[-1], self._losses, *sizes)
        self._loss((-(-n // 4),), (4 * 32,), arguments)

    def _backward(self, i: int, n: int) -> None:
        D, M = self._W[i].shape
        relu = np.int32(self._blocks[i - 1].activation == "relu")
        arguments = (self._dout[i], self._W[i], self._h[i - 1], relu, self._dout[i - 1])
        sizes = (np.int32(n), np.int32(D), np.int32(M))
        grid = self._products.tiles(n, D)
        self._back(grid, (self._products.threads,), (*arguments, *sizes))

    def _product_grid(self, i: int, n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        M = self._W[i].shape[1]
        return self._products.tiles(n, M, self._slices[i][0]), (self._products.threads,)

    def _sizes(self, i: int, n: int) -> tuple[np.int32, ...]:
        D, M = self._W[i].shape
        return np.int32(n), np.int32(D), np.int32(M), np.int32(self._slices[i][1])

    def _warps_of_head(self, N: int) -> int:
        """Give the warps of a block of `head`; 0 where the last layer does not fit there."""
        if len(self._blocks) < 2:
            return 0
        many = self._products.multiprocessors
        for warps in (4, 2, 1) if 4 * many <= N else (2, 1):
            if self._shared_of_head(warps) <= SHARED_MEMORY:
                return warps
        return 0

    def _shared_of_head(self, warps: int) -> int:
        M, C = self._W[-1].shape
        numbers = M * (C | 1) + warps * (M + C)
        return int(numbers * np.dtype(self._dtype).itemsize)

    def _describe_updates(self, cupy: Any) -> tuple[Array, int]:
        """Lay out the table of ``update_weights`` on the device, and count its blocks."""
        table = np.zeros(len(self._blocks), LAYER_UPDATE)
        block = 0
        for i, W in enumerate(self._W):
            down, across = self._products.weight_tiles(*W.shape)
            x = self._h[i - 1].data.ptr if i else 0
            pointers = (x, self._dout[i].data.ptr, W.data.ptr, self._b[i].data.ptr)
            table[i] = (*pointers, *W.shape, block, across)
            block += down * across
        return cupy.asarray(table.view("uint8")), block
