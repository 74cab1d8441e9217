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

from collections.abc import Iterator, Mapping
from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy.products import Products
from fastnn.backends.known_parts import KnownParts, Reason
from fastnn.backends.plan import DATA_DTYPES, Numbers, StepPlan
from fastnn.kernels.cuda.back import Back
from fastnn.kernels.cuda.control import ControlBlock
from fastnn.kernels.cuda.head import Head, fits
from fastnn.kernels.cuda.loss import Loss
from fastnn.kernels.cuda.product import GatherProduct, HiddenProduct
from fastnn.kernels.cuda.weights import UpdateWeights

KNOWN = KnownParts(
    "the fused step",
    activations=("relu",),
    losses=("softmax_cross_entropy",),
    rules=("sgd_update",),
)


def reasons_against(plan: StepPlan, products: Products) -> tuple[Reason, ...]:
    """Say why the kernels cannot run a plan as a whole; nothing if they can."""
    return KNOWN.reasons(plan.chain) or (
        *KNOWN.reasons_of_data(plan),
        *_reasons_of_kernels(plan, products),
    )


def _reasons_of_kernels(plan: StepPlan, products: Products) -> Iterator[Reason]:
    x, arrays = plan.arrays["x_data"], [plan.arrays[name] for name in plan.chain.parameters]
    if x.dtype.name not in (*DATA_DTYPES, plan.dtype):
        yield Reason("x", f"x has dtype {x.dtype.name}")
    if not Products.fits(plan.batch_size):
        yield Reason("", f"a batch of {plan.batch_size} does not fit into a grid")
    if not all(array.flags.c_contiguous for array in arrays):
        yield Reason("", "a parameter is not contiguous")
    weights = sum(plan.arrays[block.parameters[0]].size for block in plan.chain.blocks)
    if products.by_cublas(plan.batch_size * weights, plan.dtype):
        yield Reason("", "products are so large that cuBLAS is faster")


class FusedStep:
    """Launches the kernels of one step; see the module.

    A data set that is not contiguous is made so, once.
    """

    doing = "a kernel of the training step"

    def __init__(self, backend: Backend, products: Products, plan: StepPlan) -> None:
        blocks = plan.chain.blocks
        dtype, N, last = plan.dtype, plan.batch_size, len(blocks) - 1
        for name in ("x_data", "t_data"):
            if not plan.arrays[name].flags.c_contiguous:
                plan.arrays[name] = plan.arrays[name].copy(order="C")
        self._last = last
        self._relu = [block.activation is not None for block in blocks]
        self._data, self._labels = plan.arrays["x_data"], plan.arrays["t_data"]
        self._scale = plan.scale
        self._W, self._b = ([plan.arrays[b.parameters[i]] for b in blocks] for i in (0, 1))
        slices = [products.slices(N, *W.shape) for W in self._W]
        self._depth = [depth for _, depth in slices]
        rows = _rows_of_head(self._W, N, products.multiprocessors)
        self._product_count = last if rows else last + 1
        self._parts = [
            backend.empty((slices[i][0], N, blocks[i].units), dtype)
            for i in range(self._product_count)
        ]
        self._h = [backend.empty((N, block.units), dtype) for block in blocks[:-1]]
        self._dout = [backend.empty((N, block.units), dtype) for block in blocks]
        self._losses = backend.empty((N,), dtype)

        data_dtype = self._data.dtype.name
        self._control = ControlBlock(dtype)
        self._gather_product = GatherProduct(dtype, data_dtype)
        self._hidden_product = HiddenProduct(dtype)
        self._head = Head(dtype, rows) if rows else None
        self._loss = Loss(dtype)
        self._back = Back(dtype)
        self._update_weights = UpdateWeights(
            [None, *self._h], self._dout, self._W, self._b, data_dtype
        )

    def obstacle(self, n: int) -> None:
        """See `StepLauncher.obstacle`: there is none."""

    def prepare(self, n: int) -> None:
        """See `StepLauncher.prepare`: the kernels are compiled as they are made."""

    def begin(self, rows: Array, losses: Array, hyperparameters: Mapping[str, Numbers]) -> None:
        """Start many steps: their rows, where their losses go, the learning rate."""
        self._control.begin(rows, losses, [hyperparameters["lr"]])

    def launch(self, n: int) -> None:
        """Launch the kernels of the next step, of n samples."""
        control, data, scale = self._control.array, self._data, self._scale
        W, h, dout, last = self._W, self._h, self._dout, self._last
        self._gather_product(
            control=control, data=data, scale=scale, W=W[0], parts=self._parts[0], N=n,
            depth=self._depth[0],
        )  # fmt: skip
        for i in range(1, self._product_count):
            self._hidden_product(
                **self._before(i), h=h[i - 1], W=W[i], parts=self._parts[i], N=n,
                depth=self._depth[i],
            )  # fmt: skip
        if self._head is not None:
            before = self._before(last)
            self._head(
                control=control, before=before["before"], b_before=before["b"],
                relu=before["relu"], W=W[-1], b=self._b[-1], labels=self._labels, h=h[-1],
                dout=dout[-1], dh=dout[-2], losses=self._losses, N=n,
            )  # fmt: skip
        else:
            self._loss(
                control=control, parts=self._parts[-1], b=self._b[-1], labels=self._labels,
                dout=dout[-1], losses=self._losses, N=n,
            )  # fmt: skip
        for i in range(last if self._head is None else last - 1, 0, -1):
            relu = self._relu[i - 1]
            self._back(dout=dout[i], W=W[i], x=h[i - 1], relu=relu, dx=dout[i - 1], N=n)
        self._update_weights(control=control, data=data, scale=scale, losses=self._losses, N=n)

    def _before(self, i: int) -> dict[str, Any]:
        """Give what the layer before layer i is made of, for the kernel that adds its parts up."""
        return {"before": self._parts[i - 1], "b": self._b[i - 1], "relu": self._relu[i - 1]}


def _rows_of_head(weights: list[Array], N: int, multiprocessors: int) -> int:
    """Give the rows of a block of `head`; 0 where the last layer does not fit there."""
    if len(weights) < 2:
        return 0
    (M, C), itemsize = weights[-1].shape, weights[-1].dtype.itemsize
    for rows in (4, 2, 1) if 4 * multiprocessors <= N else (2, 1):
        if fits(M, C, rows, itemsize):
            return rows
    return 0
