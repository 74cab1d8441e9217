"""Every kernel of a training step against `fastnn.backends.base` in float64, at ragged shapes.

Each step leaves its activations and gradients in the runner's buffers, so one step shows what each
kernel did. Memory comes straight from CUDA, so that a sanitizer sees the exact bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastnn.kernels import cuda as cuda_kernels
from fastnn.kernels.cuda import loading

from fastnn.backends import Backend
from fastnn.backends.cupy.fused import FusedStep
from fastnn.backends.loop import Loop
from tests.helpers.gpu import BOUNDS, Problem, check_errors_of_a_step, cupy_backend, reference
from tests.helpers.primitives import CASES, Specification, error_of, run
from tests.helpers.problems import relative_error

pytestmark = pytest.mark.gpu

WIDTHS = [1, 2, 3, 31, 32, 33, 49, 50, 51, 63, 65, 127, 129, 783, 784, 785]
BATCHES = [1, 2, 3, 31, 32, 33, 49, 50, 51, 63, 65, 127, 129, 255, 256, 257, 511, 512, 513]
CLASSES = [1, 2, 10, 11, 1000]

SHAPES = [
    *[([features, 7, 3], 5) for features in WIDTHS],
    *[([9, hidden, 3], 5) for hidden in WIDTHS],
    *[([9, 6, hidden, 4], 5) for hidden in WIDTHS],
    *[([9, 33, hidden, 5, 4], 3) for hidden in (1, 31, 65, 129)],
    *[([40, 11, 10], batch) for batch in BATCHES],
    *[([33, 20, classes], 6) for classes in CLASSES],
    *[([33, classes], 6) for classes in CLASSES],
    ([784, 50, 10], 100),
    ([33, 600, 30], 4),
    ([9, 512, 10], 33),
    ([9, 200, 5], 513),
    ([5, 40, 1000, 7], 2),
]


@pytest.fixture
def cuda() -> Iterator[Any]:
    backend = cupy_backend()
    import cupy

    allocator = cupy.cuda.get_allocator()
    cupy.cuda.set_allocator(None)
    yield backend
    cupy.cuda.set_allocator(allocator)


def check_step(cuda: Any, problem: Problem, dtype: str) -> None:
    plan = problem.plan(cuda, dtype)
    runner = cuda.compile(plan)
    step: Any = runner.step
    assert isinstance(step, FusedStep)
    before = [(W.astype("float64"), b.astype("float64")) for W, b in problem.parameters]
    losses = runner.run(cuda.asarray(problem.rows[:1]), {"lr": 0.5})
    expected = reference(problem)
    bound = BOUNDS[dtype]
    passes: Any = step.passes
    for name, found in (("h", passes.h), ("dout", passes.dout)):
        for one, right in zip(found, expected[name], strict=True):
            check(one, right, bound, name)
    check(passes.losses, expected["losses"], bound, "losses")
    check(losses[0], expected["loss"], bound, "loss")
    rounding = np.finfo(dtype).eps
    for i, (old, gradients) in enumerate(zip(before, expected["gradients"], strict=True)):
        for letter, was, gradient in zip("Wb", old, gradients, strict=True):
            now = cuda.to_numpy(plan.arrays[f"{letter}{i + 1}"]).astype("float64")
            error = np.max(np.abs((was - now) / 0.5 - gradient))
            allowed = bound * np.max(np.abs(gradient)) + 2 * rounding * np.max(np.abs(was))
            assert error <= allowed, f"d{letter}{i + 1}"


def check(found: Any, expected: Any, bound: float, name: str) -> None:
    """Compare relative to the largest entry; below 0.1 absolutely, where few entries cancel."""
    scale = min(1.0, 10 * float(np.max(np.abs(expected)))) if np.size(expected) <= 40 else 1.0
    assert relative_error(found, np.asarray(expected)) * scale <= bound, name


@pytest.mark.parametrize(("sizes", "batch"), SHAPES, ids=lambda shape: str(shape).replace(" ", ""))
def test_kernels_agree_with_the_formulas(
    cuda: Any, dtype: str, sizes: list[int], batch: int
) -> None:
    check_step(cuda, Problem(sizes, batch), dtype)


@pytest.mark.parametrize("data", ["uint8", "int8"])
@pytest.mark.parametrize("sizes", [[785, 33, 10], [31, 5], [16, 8, 8, 3]], ids=str)
def test_a_data_set_of_bytes_is_cast_as_it_is_gathered(
    cuda: Any, dtype: str, data: str, sizes: list[int]
) -> None:
    check_step(cuda, Problem(sizes, 34, data=data), dtype)


@pytest.mark.parametrize("data", ["uint8", "int8", "float32"])
def test_a_data_set_is_scaled_as_it_is_gathered(cuda: Any, dtype: str, data: str) -> None:
    problem = Problem([31, 5, 3], 34, data=data, scale=1 / 255)
    check_step(cuda, problem, dtype)


@pytest.mark.parametrize(("data", "scale"), [("float32", 1.0), ("uint8", 1.0), ("uint8", 1 / 255)])
@pytest.mark.parametrize("batch", [1, 2, 31, 32, 33, 100, 512, 1023, 1024, 1025, 2500])
def test_sums_over_samples_are_as_exact_as_numpys(
    cuda: Any, batch: int, data: str, scale: float
) -> None:
    """Blocks of 32 samples, and of 32 of them, each summed by itself; see ``weights.cu``."""
    for lr in (1e-6, 1e-2, 1.0):
        check_errors_of_a_step(cuda, Problem([12, 8, 4], batch, data=data, scale=scale), lr)


def test_layers_without_relu(cuda: Any, dtype: str) -> None:
    check_step(cuda, Problem([17, 33, 9, 4], 35, relu=False), dtype)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sizes", [[6, 5, 4], [6, 5, 700, 200]], ids=str)
def test_nan_and_infinity_spread_as_in_numpy(
    cuda: Any, numpy: Backend, dtype: str, bad: float, sizes: list[int]
) -> None:
    for place in ("W1", "b1", "W2", "b2", "x_data"):
        problem = Problem(sizes, 5)
        plans = [problem.plan(backend, dtype) for backend in (cuda, numpy)]
        results = []
        for backend, plan in zip((cuda, numpy), plans, strict=True):
            array = plan.arrays[place]
            array[(problem.rows[0][1], 2)[: array.ndim] if place == "x_data" else 0] = bad
            with np.errstate(all="ignore"):
                runner = backend.compile(plan) or Loop(backend, plan)
                loss = runner.run(backend.asarray(problem.rows[:1]), {"lr": 0.5})
            parameters = [plan.arrays[name] for name in ("W1", "b1", "W2", "b2")]
            results.append([backend.to_numpy(array) for array in (loss, *parameters)])
        for found, right in zip(*results, strict=True):
            assert relative_error(found, right) <= 10 * BOUNDS[dtype], place


def test_a_label_or_row_out_of_range_is_no_address(cuda: Any, dtype: str) -> None:
    for place, value in [("t", 10**12), ("t", -1), ("t", 3), ("rows", 10**12), ("rows", -1)]:
        for sizes in ([6, 5, 3], [6, 3], [6, 300, 3, 200]):
            problem = Problem(sizes, 5)
            if place == "rows":
                problem.rows[0, 2] = value
            elif value != 3 or sizes[-1] == 3:
                problem.t[problem.rows[0, 2]] = value
            else:
                continue
            runner = cuda.compile(problem.plan(cuda, dtype))
            losses = runner.run(cuda.asarray(problem.rows[:1]), {"lr": 0.5})
            step: Any = runner.step
            assert np.isnan(cuda.to_numpy(losses)).all()
            assert np.isnan(cuda.to_numpy(step.passes.losses)).tolist() == [
                False,
                False,
                True,
            ] + 2 * [False]


def test_a_shorter_batch_uses_the_leading_rows(cuda: Any, numpy: Backend, dtype: str) -> None:
    problem = Problem([33, 20, 12, 10], 40)
    plans = {backend: problem.plan(backend, dtype) for backend in (cuda, numpy)}
    for backend, plan in plans.items():
        runner = backend.compile(plan) or Loop(backend, plan)
        runner.run(backend.asarray(problem.rows), {"lr": 0.5})
        runner.run(backend.asarray(problem.rows[:, :7]), {"lr": 0.25})
    for name in ("W1", "b1", "W2", "b2", "W3", "b3"):
        found, right = plans[cuda].arrays[name], plans[numpy].arrays[name]
        assert relative_error(found, right) <= 10 * BOUNDS[dtype]


@pytest.fixture
def numpy() -> Backend:
    from fastnn.backends.selection import load_backend

    return load_backend("numpy")


# The kernels of single primitives

WIDE = [
    *[(5, width, 3) for width in WIDTHS],
    *[(4, 6, width) for width in WIDTHS],
    *[(batch, 5, 4) for batch in BATCHES],
    *[(3, 2, classes) for classes in CLASSES],
]


@pytest.mark.parametrize("primitive", sorted(set(CASES) - {"mean", "relu", "relu_backward"}))
def test_primitives_at_ragged_shapes(cuda: Any, dtype: str, primitive: str) -> None:
    rng = np.random.default_rng(7)
    for n, d, m in WIDE:
        for case in CASES[primitive](rng, n, d, m):
            expected = run(Specification(), primitive, case, "float64")
            found = run(cuda, primitive, case, dtype)
            for one, right in zip(found, expected, strict=True):
                if right is not None:
                    assert error_of(primitive, one, right) <= BOUNDS[dtype], (n, d, m, case[1])


def test_the_compilers_log_is_in_the_error(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = cuda_kernels.source("large").replace("__syncthreads();", "__sync_threads_();", 1)
    monkeypatch.setattr(loading, "source", lambda file: right)
    loading._compiled.cache_clear()
    with pytest.raises(
        RuntimeError, match=r"NVRTC \d+\.\d+ does not compile bias_gradient<float> of large.cu"
    ):
        loading.kernel("large", "bias_gradient", "float32")
    with pytest.raises(RuntimeError, match=r'large.cu\(\d+\): error: identifier "__sync_threads_"'):
        loading.kernel("large", "bias_gradient", "float32")
