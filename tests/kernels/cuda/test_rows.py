"""Rows of a data set by neighbours or number by number: the same bits, and never out of bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastnn.kernels.cuda.rows import row_type

from tests.helpers.gpu import Problem, cupy_backend

pytestmark = pytest.mark.gpu


@pytest.fixture
def cuda() -> Iterator[Any]:
    """Give the backend, with memory straight from CUDA: a sanitizer sees the exact bounds."""
    backend = cupy_backend()
    import cupy

    allocator = cupy.cuda.get_allocator()
    cupy.cuda.set_allocator(None)
    yield backend
    cupy.cuda.set_allocator(allocator)


def shifted(array: Any, by: int) -> Any:
    """Copy an array to `by` numbers behind an aligned address, and to the end of its memory."""
    import cupy

    flat = cupy.empty(array.size + by, array.dtype)[by:]
    flat[:] = array.ravel()
    return flat.reshape(array.shape)


def test_neighbours_are_read_where_every_row_begins_where_that_is_allowed(cuda: Any) -> None:
    import cupy

    for dtype, size in (("float32", 4), ("float64", 2)):
        for data, name in (
            ("uint8", "unsigned char"), ("int8", "signed char"),
            (dtype, {"float32": "float", "float64": "double"}[dtype]),
        ):  # fmt: skip
            rows = cupy.zeros((5, 784), data)
            assert row_type(dtype, rows) == f"Neighbours<{name}, {size}>"
            assert row_type(dtype, rows[1:]) == f"Neighbours<{name}, {size}>"
            assert row_type(dtype, cupy.zeros((5, 785), data)) == data
            assert row_type(dtype, shifted(rows, 1)) == data
            assert row_type(dtype, shifted(rows, size)) == f"Neighbours<{name}, {size}>"


@pytest.mark.parametrize("data", ["uint8", "int8", "float"])
@pytest.mark.parametrize("features", [2, 4, 28, 36, 100, 112])
def test_neighbours_and_single_numbers_give_the_same_bits(
    cuda: Any, dtype: str, data: str, features: int
) -> None:
    found = []
    for by in (0, 1, 4):
        problem = Problem(
            [features, 33, 5], 34, data=dtype if data == "float" else data, scale=1 / 255
        )
        problem.rows[0, 3] = -1  # no sample: NaN, in its row alone
        plan = problem.plan(cuda, dtype)
        plan.arrays["x_data"] = shifted(plan.arrays["x_data"], by)
        runner = cuda.compile(plan)
        runner.run(cuda.asarray(problem.rows[:1]), {"lr": 0.5})
        hidden = cuda.to_numpy(runner.step.passes.h[0])
        assert np.isnan(hidden).all(axis=1).tolist() == [i == 3 for i in range(34)]
        problem.rows[0, 3] = 3
        plan = problem.plan(cuda, dtype)
        plan.arrays["x_data"] = shifted(plan.arrays["x_data"], by)
        runner = cuda.compile(plan)
        loss = runner.run(cuda.asarray(problem.rows), {"lr": 0.5})
        found.append([cuda.to_numpy(array) for array in (hidden, loss, plan.arrays["W1"])])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    assert np.isfinite(found[0][2]).all()
