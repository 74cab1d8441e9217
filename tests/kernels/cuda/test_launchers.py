"""Each kernel of a training step by itself, beside what it computes in NumPy, written as it reads.

Where a product is split, an array of parts (splits, N, M) stands for their sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastnn.kernels.cuda.back import Back
from fastnn.kernels.cuda.between import Between
from fastnn.kernels.cuda.control import ControlBlock
from fastnn.kernels.cuda.head import Head
from fastnn.kernels.cuda.loading import C_TYPES
from fastnn.kernels.cuda.loss import Loss
from fastnn.kernels.cuda.losses import Targets
from fastnn.kernels.cuda.product import GatherProduct, HiddenProduct
from fastnn.kernels.cuda.weights import LayerParameters, Parameter, UpdateWeights

from tests.helpers.gpu import BOUNDS, cupy_backend
from tests.helpers.problems import relative_error

pytestmark = pytest.mark.gpu

N, D, M, C = 37, 70, 41, 11
DEPTH = 32
SPLITS = 3
LR, SCALE = 0.5, 1 / 255


def slow_gather_product(data: Any, rows: Any, W: Any) -> Any:
    return SCALE * data[rows] @ W


def slow_hidden(before: Any, b: Any, relu: bool) -> Any:
    h = before.sum(axis=0) + b
    return np.maximum(h, 0) if relu else h


def slow_loss(scores: Any, t: Any) -> tuple[Any, Any]:
    """The loss of each sample, and the gradient of their mean by the scores."""
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    y = exp / exp.sum(axis=1, keepdims=True)
    losses = -np.log(y[np.arange(len(t)), t])
    return losses, (y - np.eye(scores.shape[1])[t]) / len(t)


def slow_back(dout: Any, W: Any, x: Any, relu: bool) -> Any:
    dx = dout @ W.T
    return np.where(x <= 0, 0, dx) if relu else dx


def slow_update(x: Any, dout: Any, W: Any, b: Any) -> tuple[Any, Any]:
    return W - LR * x.T @ dout, b - LR * dout.sum(axis=0)


class Arrays:
    """Random arrays, on the device in a dtype and here in float64 with the same values."""

    def __init__(self, dtype: str) -> None:
        import cupy

        self._cupy, self._dtype, self._random = cupy, dtype, np.random.default_rng(3)
        self.rows = self._random.permutation(N + 5)[:N]
        self.labels = self._random.integers(0, C, N + 5)
        self.steps = self.put(self.rows[None])
        self.losses = self.empty(1)
        self.control = ControlBlock(dtype)
        self.control.begin(self.steps, self.losses, [LR])

    def normal(self, *shape: int) -> tuple[Any, Any]:
        array = self._random.standard_normal(shape).astype(self._dtype)
        return self._cupy.asarray(array), array.astype("float64")

    def put(self, array: Any) -> Any:
        return self._cupy.asarray(array)

    def empty(self, *shape: int) -> Any:
        return self._cupy.empty(shape, self._dtype)

    def check(self, found: Any, expected: Any, name: str) -> None:
        assert relative_error(self._cupy.asnumpy(found), expected) <= BOUNDS[self._dtype], name


@pytest.fixture
def arrays(dtype: str) -> Iterator[Arrays]:
    """Memory comes straight from CUDA, so that a sanitizer sees the exact bounds."""
    cupy_backend()
    import cupy

    allocator = cupy.cuda.get_allocator()
    cupy.cuda.set_allocator(None)
    yield Arrays(dtype)
    cupy.cuda.set_allocator(allocator)


def test_gather_product(arrays: Arrays, dtype: str) -> None:
    data = np.random.default_rng(4).integers(0, 256, (N + 5, D), "uint8")
    (W, slow_W), parts = arrays.normal(D, M), arrays.empty(SPLITS, N, M)
    GatherProduct(dtype, "uint8")(
        control=arrays.control.array, data=arrays.put(data), scale=SCALE, W=W, parts=parts, N=N,
        depth=DEPTH,
    )  # fmt: skip
    arrays.check(parts.sum(axis=0), slow_gather_product(data, arrays.rows, slow_W), "product")


@pytest.mark.parametrize("relu", [False, True])
def test_hidden_product(arrays: Arrays, dtype: str, relu: bool) -> None:
    (before, slow_before), (b, slow_b) = arrays.normal(2, N, D), arrays.normal(D)
    (W, slow_W), h, parts = arrays.normal(D, M), arrays.empty(N, D), arrays.empty(SPLITS, N, M)
    HiddenProduct(dtype, Between("relu" if relu else None))(
        before=before, b=b, h=h, kept=h, W=W, parts=parts, N=N, depth=DEPTH
    )
    slow_h = slow_hidden(slow_before, slow_b, relu)
    arrays.check(h, slow_h, "h")
    arrays.check(parts.sum(axis=0), slow_h @ slow_W, "product")


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("warps", [1, 4])
def test_head(arrays: Arrays, dtype: str, relu: bool, warps: int) -> None:
    (before, slow_before), (b_before, slow_b_before) = arrays.normal(2, N, M), arrays.normal(M)
    (W, slow_W), (b, slow_b) = arrays.normal(M, C), arrays.normal(C)
    h, dh, dout, losses = (arrays.empty(*shape) for shape in ((N, M), (N, M), (N, C), (N,)))
    targets = Targets("softmax_cross_entropy", arrays.put(arrays.labels))
    Head(dtype, warps, Between("relu" if relu else None), targets)(
        control=arrays.control.array, before=before, b_before=b_before, W=W, b=b, h=h, kept=h,
        dout=dout, dh=dh, losses=losses, N=N,
    )  # fmt: skip
    slow_h = slow_hidden(slow_before, slow_b_before, relu)
    slow_losses, slow_dout = slow_loss(slow_h @ slow_W + slow_b, arrays.labels[arrays.rows])
    arrays.check(h, slow_h, "h")
    arrays.check(losses, slow_losses, "losses")
    arrays.check(dout, slow_dout, "dout")
    arrays.check(dh, slow_back(slow_dout, slow_W, slow_h, relu), "dh")


def test_loss(arrays: Arrays, dtype: str) -> None:
    (parts, slow_parts), (b, slow_b) = arrays.normal(SPLITS, N, C), arrays.normal(C)
    dout, losses = arrays.empty(N, C), arrays.empty(N)
    targets = Targets("softmax_cross_entropy", arrays.put(arrays.labels))
    Loss(dtype, targets)(
        control=arrays.control.array, parts=parts, b=b, dout=dout, losses=losses, N=N
    )  # fmt: skip
    scores = slow_parts.sum(axis=0) + slow_b
    slow_losses, slow_dout = slow_loss(scores, arrays.labels[arrays.rows])
    arrays.check(losses, slow_losses, "losses")
    arrays.check(dout, slow_dout, "dout")


@pytest.mark.parametrize("relu", [False, True])
def test_back(arrays: Arrays, dtype: str, relu: bool) -> None:
    (dout, slow_dout), (W, slow_W) = arrays.normal(N, M), arrays.normal(D, M)
    (x, slow_x), dx = arrays.normal(N, D), arrays.empty(N, D)
    Back(dtype, Between("relu" if relu else None))(dout=dout, W=W, kept=x, dx=dx, N=N)
    arrays.check(dx, slow_back(slow_dout, slow_W, slow_x, relu), "dx")


def test_update_weights(arrays: Arrays, dtype: str) -> None:
    data, slow_data = arrays.normal(N + 5, D)
    x, slow_x = arrays.normal(N, M)
    layers = [
        (None, SCALE * slow_data[arrays.rows], *arrays.normal(N, M), D, M),
        (x, slow_x, *arrays.normal(N, C), M, C),
    ]
    W, slow_W = zip(*(arrays.normal(rows, columns) for *_, rows, columns in layers), strict=True)
    b, slow_b = zip(*(arrays.normal(columns) for *_, columns in layers), strict=True)
    losses, slow_losses = arrays.normal(N)
    update = UpdateWeights(
        [
            LayerParameters(layer[0], layer[2], Parameter(W[i]), Parameter(b[i]))
            for i, layer in enumerate(layers)
        ],
        [],
        f"Sgd<{C_TYPES[dtype]}>",
        dtype,
    )
    update(control=arrays.control.array, data=data, scale=SCALE, losses=losses, N=N)
    for i, (_, slow_input, _, slow_dout, *_) in enumerate(layers):
        expected = slow_update(slow_input, slow_dout, slow_W[i], slow_b[i])
        arrays.check(W[i], expected[0], f"W{i + 1}")
        arrays.check(b[i], expected[1], f"b{i + 1}")
    arrays.check(arrays.losses, [slow_losses.mean()], "mean loss")
