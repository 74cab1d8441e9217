"""The factor by which gradients are cut to a norm, beyond what every primitive is held to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.backends import Backend

SHAPES = [(784, 50), (50,), (3, 20_001), ()]


def gradients(rng: np.random.Generator, dtype: str, size: float) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(size * rng.standard_normal(shape)).astype(dtype) for shape in SHAPES]


def norm_of(arrays: list[np.ndarray[Any, Any]]) -> float:
    return float(np.sqrt(sum(np.sum(np.square(g.astype("float64"))) for g in arrays)))


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e25])
def test_of_gradients_of_any_size(
    backend: Backend, dtype: str, size: float, rng: np.random.Generator
) -> None:
    arrays = gradients(rng, dtype, size)
    on_device = [backend.asarray(g) for g in arrays]
    norm = norm_of(arrays)
    for clip_norm in (norm / 3, 3 * norm):
        expected = min(1.0, clip_norm / (norm + 1e-6))
        found = backend.clip_factor(*on_device, clip_norm=clip_norm)
        assert backend.owns(found)
        assert float(found) == pytest.approx(
            expected, rel={"float32": 3e-7, "float64": 1e-14}[dtype]
        )
        for before, after in zip(arrays, on_device, strict=True):
            np.testing.assert_array_equal(backend.to_numpy(after), before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_of_a_gradient_that_is_not_finite(backend: Backend, dtype: str, bad: float) -> None:
    """What has diverged looks diverged: ``inf * 0`` is NaN, too."""
    g = backend.asarray(np.array([1.0, bad, 2.0], dtype))
    factor = backend.clip_factor(backend.asarray(np.ones(5, dtype)), g, clip_norm=1.0)
    with np.errstate(invalid="ignore"):
        clipped = backend.to_numpy(backend.scaled_gradient(g, factor))
    assert np.isnan(clipped[1])


def test_of_nothing_but_zeros(backend: Backend, dtype: str) -> None:
    zeros = backend.asarray(np.zeros((4, 3), dtype))
    assert float(backend.clip_factor(zeros, clip_norm=2.0)) == 1
    assert float(backend.clip_factor(zeros, clip_norm=1e-7)) == pytest.approx(0.1)


def test_numbers_of_a_users_layer_and_other_dtypes(backend: Backend) -> None:
    g = backend.asarray(np.array([3.0, 0.0], "float32"))
    factor = backend.clip_factor(g, 4.0, clip_norm=1.0)
    assert str(factor.dtype).endswith("float32")
    assert float(factor) == pytest.approx(0.2, rel=1e-6)
    assert float(backend.scaled_gradient(4.0, factor)) == pytest.approx(0.8, rel=1e-6)
    other = backend.asarray(np.array([4.0]))
    factor = backend.clip_factor(g, other, clip_norm=1.0)
    assert float(factor) == pytest.approx(0.2, rel=1e-6)
    scaled = backend.scaled_gradient(other, factor)
    assert str(scaled.dtype).endswith("float64")
    assert float(scaled[0]) == pytest.approx(0.8, rel=1e-6)


def test_bits_do_not_depend_on_the_number_of_threads(rng: np.random.Generator) -> None:
    backend = fastnn.get_backend()
    arrays = gradients(rng, "float32", 1.0)
    before, found = fastnn.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            fastnn.set_num_threads(threads)
            found.add(float(backend.clip_factor(*arrays, clip_norm=1.0)))
    finally:
        fastnn.set_num_threads(before)
    assert len(found) == 1


def test_pytorch_gives_the_same(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    arrays = gradients(rng, "float64", 1.0)
    parameters = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in arrays]
    for parameter, g in zip(parameters, arrays, strict=True):
        parameter.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_(parameters, 2.5)
    backend = fastnn.get_backend()
    factor = backend.clip_factor(*arrays, clip_norm=2.5)
    for parameter, g in zip(parameters, arrays, strict=True):
        np.testing.assert_allclose(backend.scaled_gradient(g, factor), parameter.grad, rtol=1e-13)
