"""Each primitive of a backend, at the shapes that the training step of a network gives it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn.backends import Backend
from suites.conftest import Measure
from workload import Workload


class Operands:
    """Arrays on a backend, of the shapes of a training step; the names are the step plan's."""

    def __init__(self, backend: Backend, workload: Workload) -> None:
        self.backend, self.dtype = backend, workload.dtype
        N, (D, H, C) = workload.batch, workload.layers
        rng = np.random.default_rng(0)
        self.rng = rng
        self.images = backend.asarray(workload.x)
        self.labels = backend.asarray(workload.t)
        self.rows = backend.asarray(workload.proof_rows()[0])
        self.x = backend.asarray(workload.x[:N])
        self.t = backend.asarray(workload.t[:N])
        self.one_hot = backend.asarray(np.eye(C)[workload.t[:N]], self.dtype)
        self.W1, self.b1 = self.random(D, H), self.random(H)
        self.W2 = self.random(H, C)
        self.hidden = self.random(N, H)
        self.active = backend.asarray(np.maximum(backend.to_numpy(self.hidden), 0))
        self.scores, self.losses = self.random(N, C), self.random(N)

    def random(self, *shape: int) -> Any:
        return self.backend.asarray(0.1 * self.rng.standard_normal(shape), self.dtype)

    def empty(self, *shape: int) -> Any:
        return self.backend.empty(shape, self.dtype)

    def like(self, *arrays: Any) -> tuple[Any, ...]:
        return tuple(self.empty(*array.shape) for array in arrays)


Prepare = Callable[[Backend, Operands], Callable[[], object]]


def affine(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.hidden)
    return lambda: backend.affine(a.x, a.W1, a.b1, relu=True, out=out)


def affine_backward_first(backend: Backend, a: Operands) -> Callable[[], object]:
    out = (None, *a.like(a.W1, a.b1))
    return lambda: backend.affine_backward(a.hidden, a.x, a.W1, input_gradient=False, out=out)


def affine_backward_second(backend: Backend, a: Operands) -> Callable[[], object]:
    out = a.like(a.hidden, a.W2, a.W2[0, :])
    return lambda: backend.affine_backward(a.scores, a.active, a.W2, relu=True, out=out)


def relu(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.hidden)
    return lambda: backend.relu(a.hidden, out=out)


def relu_backward(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.hidden)
    mask = a.hidden <= 0
    return lambda: backend.relu_backward(a.hidden, mask, out=out)


def softmax(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.scores)
    return lambda: backend.softmax(a.scores, out=out)


def softmax_cross_entropy(backend: Backend, a: Operands) -> Callable[[], object]:
    out = a.like(a.losses, a.scores)
    return lambda: backend.softmax_cross_entropy(a.scores, a.t, out=out)


def softmax_cross_entropy_backward(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.scores)
    return lambda: backend.softmax_cross_entropy_backward(a.scores, a.t, out=out)


def sigmoid_cross_entropy(backend: Backend, a: Operands) -> Callable[[], object]:
    out = a.like(a.losses, a.scores)
    return lambda: backend.sigmoid_cross_entropy(a.scores, a.one_hot, out=out)


def sigmoid_cross_entropy_backward(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.scores)
    return lambda: backend.sigmoid_cross_entropy_backward(a.scores, a.one_hot, out=out)


def squared_error(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.losses)
    return lambda: backend.squared_error(a.scores, a.one_hot, out=out)


def squared_error_backward(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.scores)
    return lambda: backend.squared_error_backward(a.scores, a.one_hot, out=out)


def mean(backend: Backend, a: Operands) -> Callable[[], object]:
    out = a.empty()
    return lambda: backend.mean(a.losses, out=out)


def count_correct(backend: Backend, a: Operands) -> Callable[[], object]:
    return lambda: backend.count_correct(a.scores, a.t)


def count_exact(backend: Backend, a: Operands) -> Callable[[], object]:
    return lambda: backend.count_exact(a.scores, a.one_hot)


def label_indices(backend: Backend, a: Operands) -> Callable[[], object]:
    classes = int(a.scores.shape[1])
    return lambda: backend.label_indices(a.one_hot, classes)


def take_rows(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.x)
    return lambda: backend.take_rows(a.images, a.rows, dtype=a.dtype, out=out)


def sgd_update(backend: Backend, a: Operands) -> Callable[[], object]:
    (dW,) = a.like(a.W1)
    dW[...] = 0
    return lambda: backend.sgd_update(a.W1, dW, lr=0.1)


PREPARED: dict[str, Prepare] = {
    function.__name__: function
    for function in (
        affine,
        affine_backward_first,
        affine_backward_second,
        relu,
        relu_backward,
        softmax,
        softmax_cross_entropy,
        softmax_cross_entropy_backward,
        sigmoid_cross_entropy,
        sigmoid_cross_entropy_backward,
        squared_error,
        squared_error_backward,
        mean,
        count_correct,
        count_exact,
        label_indices,
        take_rows,
        sgd_update,
    )
}


@pytest.mark.parametrize("primitive", PREPARED)
def test_primitive(primitive: str, backend: Backend, workload: Workload, measure: Measure) -> None:
    group = f"{primitive} {workload.name} {workload.dtype}"
    measure(group, PREPARED[primitive](backend, Operands(backend, workload)), workload.batch)


def test_no_primitive_is_left_out() -> None:
    section = inspect.getsource(Backend).partition("# Primitives")[2].partition("# Training")[0]
    written = {line.split("(")[0].split()[1] for line in section.splitlines() if " def " in line}
    assert written == {name.removesuffix("_first").removesuffix("_second") for name in PREPARED}
