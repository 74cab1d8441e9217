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


def poisson_deviance(backend: Backend, a: Operands) -> Callable[[], object]:
    out = a.like(a.losses, a.scores)
    return lambda: backend.poisson_deviance(a.scores, a.one_hot, out=out)


def poisson_deviance_backward(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.scores)
    return lambda: backend.poisson_deviance_backward(a.scores, a.one_hot, out=out)


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


def activation(name: str, **numbers: float) -> Prepare:
    def prepare(backend: Backend, a: Operands) -> Callable[[], object]:
        (out,) = a.like(a.hidden)
        return lambda: getattr(backend, name)(a.hidden, **numbers, out=out)

    return prepare


def activation_backward(name: str, **numbers: float) -> Prepare:
    def prepare(backend: Backend, a: Operands) -> Callable[[], object]:
        out, dout = a.like(a.hidden, a.hidden)
        dout[...] = 1
        backward = getattr(backend, f"{name}_backward")
        return lambda: backward(dout, a.active, **numbers, out=out)

    return prepare


def batch_norm(backend: Backend, a: Operands) -> Callable[[], object]:
    of_units = a.like(a.b1, a.b1, a.b1)
    out = (*a.like(a.hidden, a.hidden), *of_units)
    return lambda: backend.batch_norm(a.hidden, a.b1, a.b1, out=out)


def batch_norm_backward(backend: Backend, a: Operands) -> Callable[[], object]:
    y, xn, std, _, _ = backend.batch_norm(a.hidden, a.b1, a.b1)
    out = a.like(y, a.b1, a.b1)
    return lambda: backend.batch_norm_backward(a.hidden, a.b1, xn, std, out=out)


def batch_norm_evaluation(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.hidden)
    var = a.b1 * a.b1
    return lambda: backend.batch_norm_evaluation(a.hidden, a.b1, a.b1, a.b1, var, out=out)


def moving_average(backend: Backend, a: Operands) -> Callable[[], object]:
    return lambda: backend.moving_average(a.b1, a.W1[0, :], momentum=0.9)


def dropout(backend: Backend, a: Operands) -> Callable[[], object]:
    out = (*a.like(a.hidden), a.backend.empty(a.hidden.shape, "bool"))
    return lambda: backend.dropout(a.hidden, 3, ratio=0.5, key=7, out=out)


def dropout_backward(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.hidden)
    mask = a.hidden > 0
    return lambda: backend.dropout_backward(a.hidden, mask, out=out)


def count(backend: Backend, a: Operands) -> Callable[[], object]:
    counter = backend.asarray(np.zeros((), "int64"))
    return lambda: backend.count(counter)


def weighted(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.losses)
    weights = backend.asarray(np.linspace(0, 2, int(a.losses.shape[0])))
    return lambda: backend.weighted(a.losses, weights, out=out)


def penalised(backend: Backend, a: Operands) -> Callable[[], object]:
    loss = backend.mean(a.losses)
    out = a.empty()
    return lambda: backend.penalised(loss, a.W1, a.W2, weight_decay=0.1, out=out)


def clip_factor(backend: Backend, a: Operands) -> Callable[[], object]:
    out = a.empty()
    return lambda: backend.clip_factor(a.W1, a.b1, a.W2, clip_norm=1.0, out=out)


def scaled_gradient(backend: Backend, a: Operands) -> Callable[[], object]:
    (out,) = a.like(a.W1)
    factor = backend.mean(a.losses)
    return lambda: backend.scaled_gradient(a.W1, factor, out=out)


def decayed_gradient(backend: Backend, a: Operands) -> Callable[[], object]:
    out, dW = a.like(a.W1, a.W1)
    dW[...] = 0
    return lambda: backend.decayed_gradient(dW, a.W1, weight_decay=0.1, out=out)


def decay_weights(backend: Backend, a: Operands) -> Callable[[], object]:
    return lambda: backend.decay_weights(a.W1, lr=0.1, weight_decay=0.1)


def update(name: str, states: int, **numbers: float) -> Prepare:
    def prepare(backend: Backend, a: Operands) -> Callable[[], object]:
        arrays = a.like(a.W1, *[a.W1] * states)
        for array in arrays:
            array[...] = 0
        return lambda: getattr(backend, name)(a.W1, *arrays, **numbers)

    return prepare


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
        poisson_deviance,
        poisson_deviance_backward,
        mean,
        count_correct,
        count_exact,
        label_indices,
        take_rows,
        batch_norm,
        batch_norm_backward,
        batch_norm_evaluation,
        moving_average,
        dropout,
        dropout_backward,
        count,
        weighted,
        penalised,
        clip_factor,
        scaled_gradient,
        decayed_gradient,
        decay_weights,
    )
}
for _name, _numbers in {
    "sigmoid": {}, "tanh": {}, "gelu": {}, "leaky_relu": {"slope": 0.01},
}.items():  # fmt: skip
    PREPARED[_name] = activation(_name, **_numbers)
    PREPARED[f"{_name}_backward"] = activation_backward(_name, **_numbers)
PREPARED |= {
    "sgd_update": update("sgd_update", 0, lr=0.1),
    "momentum_update": update("momentum_update", 1, lr=0.1, momentum=0.9),
    "nesterov_update": update("nesterov_update", 1, lr=0.1, momentum=0.9),
    "adagrad_update": update("adagrad_update", 1, lr=0.1),
    "rmsprop_update": update("rmsprop_update", 1, lr=0.1, one_minus_decay_rate=0.01),
    "adam_update": update("adam_update", 2, lr_t=0.1, one_minus_beta1=0.1, one_minus_beta2=0.001),
}


@pytest.mark.parametrize("primitive", PREPARED)
def test_primitive(primitive: str, backend: Backend, workload: Workload, measure: Measure) -> None:
    group = f"{primitive} {workload.name} {workload.dtype}"
    measure(group, PREPARED[primitive](backend, Operands(backend, workload)), workload.batch)


def test_no_primitive_is_left_out() -> None:
    section = inspect.getsource(Backend).partition("# Primitives")[2].partition("# Training")[0]
    written = {line.split("(")[0].split()[1] for line in section.splitlines() if " def " in line}
    written = {name for name in written if not name.startswith("_")}
    assert written == {name.removesuffix("_first").removesuffix("_second") for name in PREPARED}
