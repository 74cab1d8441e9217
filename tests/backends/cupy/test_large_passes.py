"""The passes of a step whose products go to cuBLAS, beside the formulas in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastnn.kernels.cuda.control import ControlBlock

import fastnn
from fastnn.backends.cupy.large_passes import LargePasses
from fastnn.backends.stages import stages_of
from tests.helpers.cublas_by_kernel import capturable_cublas
from tests.helpers.gpu import Problem, cupy_backend, reference
from tests.helpers.problems import relative_error

pytestmark = pytest.mark.gpu

BOUNDS = {"float64": 1e-13, "float32": 5e-6}


@pytest.fixture
def cuda() -> Iterator[Any]:
    backend = cupy_backend()
    with fastnn.use_backend(backend), capturable_cublas():
        yield backend


def test_gradients_are_those_of_the_formulas(cuda: Any, dtype: str) -> None:
    """With ReLU and without, for bytes and floats, in a batch that is not full."""
    for sizes, data, relu in (
        ([24, 40, 33, 5], "uint8", True), ([300, 5], "float32", True), ([7, 40, 70], "int8", False),
    ):  # fmt: skip
        problem = Problem(sizes, 45, data=data, relu=relu, scale=1 / 255)
        plan = problem.plan(cuda, dtype)
        plan.batch_size = 50  # there is room for more
        control = ControlBlock(dtype)
        passes = LargePasses(cuda, plan, stages_of(plan.chain.blocks), control.array)
        passes.prepare(45)
        control.begin(cuda.asarray(problem.rows), cuda.empty((2,), dtype), [0.1])
        for launch in passes.launches:
            launch(N=45)
        right = reference(problem)
        gradients = [gradient for pair in right["gradients"] for gradient in pair]
        found = [*passes.gradients.values(), *(array[:45] for array in passes.x[1:])]
        for some, expected in zip(found, [*gradients, *right["h"]], strict=True):
            error = relative_error(cuda.to_numpy(some), expected)
            assert error <= BOUNDS[dtype], (sizes, some.shape)
        losses = cuda.to_numpy(passes.losses)[:45]
        np.testing.assert_allclose(losses, right["losses"], rtol=1e4 * float(np.finfo(dtype).eps))
