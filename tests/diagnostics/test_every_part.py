"""What `fastnn check` compares besides the book's network: every layer and loss that there is."""

from __future__ import annotations

import pytest

import fastnn
from fastnn.backends import Backend
from fastnn.backends.numpy import NumpyBackend
from fastnn.diagnostics.every_part import check_every_part
from fastnn.nn.activations import BY_PRIMITIVE
from fastnn.nn.layer import Layer

THE_BOOKS = {"Affine", "Relu", "SoftmaxWithLoss"}
"""What the network of `fastnn check` is made of."""


def layers() -> set[str]:
    found = [getattr(fastnn, name) for name in fastnn.__all__]
    return {
        one.__name__
        for one in found
        if isinstance(one, type) and issubclass(one, Layer) and one is not Layer
    }


@pytest.mark.exhaustive
def test_every_layer_is_checked_on_every_engine(backend: Backend) -> None:
    check_every_layer_on(backend.name)


def test_every_layer_is_checked() -> None:
    check_every_layer_on("numpy")


def check_every_layer_on(engine: str) -> None:
    report = check_every_part([engine])
    assert report.passed, str(report)
    parts = layers() - THE_BOOKS
    activations = ", ".join(cls.__name__ for cls in BY_PRIMITIVE)
    alone = parts - {cls.__name__ for cls in BY_PRIMITIVE}
    ways = {f"{way} with {some}" for some in {activations, *alone} for way in ("network", "step")}
    assert {c.part for c in report.comparisons} == parts | ways
    assert {c.backend for c in report.comparisons} == {engine}
    assert {c.dtype for c in report.comparisons} == {"float32", "float64"}
    for part in parts:
        assert "dx" in {c.quantity for c in report.comparisons if c.part == part}


def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = NumpyBackend.squared_error_backward

    def wrong(self: NumpyBackend, *arguments: object, **options: object) -> object:
        dx = right(self, *arguments, **options)
        dx *= 1.001
        return dx

    monkeypatch.setattr(NumpyBackend, "squared_error_backward", wrong)
    report = check_every_part(["numpy"])
    assert {c.part for c in report.comparisons if not c.passed} == {
        "MeanSquaredError", "network with MeanSquaredError", "step with MeanSquaredError",
    }  # fmt: skip
