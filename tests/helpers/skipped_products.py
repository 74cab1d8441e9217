"""The products that skip zeros beside those that do not, for matrices of any shape.

Run as a script it takes awkward shapes, in arrays that end (or begin) at a page that may not be
touched, or, under ``NUMBA_BOUNDSCHECK=1``, with every access compared with the size of its array;
or as if the host's registers were narrower than they are.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from fastnn.kernels import cpu
from fastnn.kernels.cpu import strips

from tests.helpers.compiled_training import _regions, guarded

SIZES = (1, 2, 3, 7, 8, 9, 15, 49, 50, 51, 63, 65, 783)
COLUMNS = (16, 17, 31, 32, 33, 49, 50, 51, 63, 64, 65, 128)
BOUNDS = {"float64": 1e-12, "float32": 4e-6}

Place = Callable[[Any], Any]


def mostly_zero(rng: np.random.Generator, *shape: int, dtype: str) -> Any:
    """Numbers of which nine in ten are zero, of either sign."""
    values = rng.standard_normal(shape) * np.where(rng.random(shape) < 0.1, 1, 0)
    return values.astype(dtype)


def awkward_shapes() -> Iterator[tuple[int, int, int]]:
    """Shapes ``N, D, M``, each size in each role."""
    for size in SIZES:
        yield size, 70, 50
        yield 70, size, 50
        yield size, size, 17
    for columns in COLUMNS:
        yield 37, 130, columns


def forward(x: Any, W: Any, b: Any, place: Place = lambda array: array) -> Any:
    """``x @ W + b``; None if nothing was skipped."""
    out = place(np.full((x.shape[0], W.shape[1]), np.nan, W.dtype))
    return out if cpu.affine_skipping_zeros(x, W, b, out) else None


def backward(x: Any, dout: Any, place: Place = lambda array: array) -> Any:
    """``x.T @ dout``; None if nothing was skipped."""
    dW = place(np.full((x.shape[1], dout.shape[1]), np.nan, dout.dtype))
    return dW if cpu.transposed_product_skipping_zeros(x, dout, dW) else None


def see_that_they_agree(
    samples: int, features: int, columns: int, dtype: str, place: Place
) -> None:
    rng = np.random.default_rng(samples + 1000 * features + columns)
    x = mostly_zero(rng, samples, features, dtype=dtype)
    W, b, dout = (
        rng.standard_normal(shape).astype(dtype)
        for shape in ((features, columns), columns, (samples, columns))
    )
    x, W, b, dout = place(x), place(W), place(b), place(dout)
    whole = x.astype("float64")
    for found, right in (
        (forward(x, W, b, place), whole @ W + b),
        (backward(x, dout, place), whole.T @ dout),
    ):
        # So few numbers may by chance have too few zeros.
        assert found is not None or samples * features < 200, (samples, features, columns)
        if found is not None:
            error = np.max(np.abs(found - right)) / max(1.0, np.max(np.abs(right)))
            assert error <= BOUNDS[dtype], (samples, features, columns, dtype, error)


def main(mode: str) -> None:
    def place(array: Any) -> Any:
        return array if mode == "checked" else guarded(array, at_end=mode != "begin")

    if mode == "narrower":
        assert strips.TILE_BYTES < strips.STRIP_BYTES
    for shape, dtype in itertools.product(awkward_shapes(), ("float32", "float64")):
        see_that_they_agree(*shape, dtype, place)
        _regions.clear()
    if mode == "checked":
        see_that_bounds_are_checked()
    print("done")


def see_that_bounds_are_checked() -> None:
    """A W that is too small has to raise, or the run above has proved nothing."""
    x, W, b = np.zeros((8, 70), "float32"), np.ones((69, 50), "float32"), np.ones(50, "float32")
    x[:, 69] = 1
    try:
        forward(x, W, b)
    except IndexError:
        return
    raise AssertionError("an address out of bounds was not noticed")


if __name__ == "__main__":
    main(sys.argv[1])
