"""The kernels of batch normalisation at ragged shapes, beside their formulas in float64.

Memory comes straight from CUDA, so that a sanitizer sees the exact bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.helpers.gpu import BOUNDS, cupy_backend
from tests.helpers.primitives import CASES, Specification, dtype_of, error_of, run

pytestmark = pytest.mark.gpu

PRIMITIVES = ["batch_norm", "batch_norm_backward", "batch_norm_evaluation", "moving_average"]


@pytest.fixture
def cuda() -> Iterator[Any]:
    backend = cupy_backend()
    import cupy

    allocator = cupy.cuda.get_allocator()
    cupy.cuda.set_allocator(None)
    yield backend
    cupy.cuda.set_allocator(allocator)


@pytest.mark.parametrize("units", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("samples", [1, 2, 7, 8, 9, 130, 3000])
@pytest.mark.parametrize("primitive", PRIMITIVES)
def test_ragged_shapes(
    cuda: Any, dtype: str, primitive: str, samples: int, units: int, rng: np.random.Generator
) -> None:
    for case in CASES[primitive](rng, samples, 1, units):
        expected = run(Specification(), primitive, case, "float64")
        for found, right in zip(run(cuda, primitive, case, dtype), expected, strict=True):
            assert found.dtype == dtype_of(right, dtype)
            assert error_of(primitive, found, right) <= BOUNDS[dtype]
