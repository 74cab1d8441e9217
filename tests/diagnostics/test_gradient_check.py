"""check_gradients: it passes what is right, and fails whatever is wrong in any one primitive."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    Affine,
    BatchNormalization,
    Dropout,
    MultiLayerNet,
    Relu,
    Sequential,
    TwoLayerNet,
    check_gradients,
)
from fastnn.backends import Backend, arrays, selection
from fastnn.backends.loop import Loop
from fastnn.backends.numpy import NumpyBackend
from fastnn.diagnostics.gradient_check import BOUNDS, Comparison, GradientReport
from fastnn.nn.layer import Layer
from fastnn.nn.loss import Loss
from fastnn.nn.losses import LOSSES
from fastnn.nn.networks import ACTIVATIONS
from tests.helpers.layers import Scale, Square, SquaredError, zoo
from tests.helpers.primitives import CASES, IN_PLACE
from tests.helpers.problems import Batch, affine_of


@pytest.fixture
def small() -> Batch:
    return Batch(3, 12, 4, seed=3)


def snapshot(network: Sequential) -> dict[Any, Any]:
    arrays: dict[Any, Any] = {
        name: fastnn.to_numpy(array).tobytes() for name, array in network.params.items()
    }
    kept = {
        (name, attribute): value
        for name, layer in [*network.layers.items(), ("last", network.last_layer)]
        for attribute, value in vars(layer).items()
    }
    return {**arrays, "backend": network.backend, "dtype": network.dtype, **kept}


@pytest.mark.parametrize("name", list(zoo()))
def test_what_is_right_passes(backend: Backend, dtype: str, small: Batch, name: str) -> None:
    network = zoo(dtype)[name]
    before = snapshot(network)
    report = check_gradients(network, small.x, small.one_hot, backends=["numpy", backend.name])
    assert report.passed, str(report)
    after = snapshot(network)
    assert before.keys() == after.keys()
    assert all(after[key] is value or after[key] == value for key, value in before.items())


def test_what_is_compared(backend: Backend, small: Batch) -> None:
    network = TwoLayerNet(12, 5, 4, 0.5, seed=0)
    report = check_gradients(network, small.x, small.t, backends=[backend.name])
    affine, relu, loss = ["output", "dx", "dW", "db"], ["output", "dx"], ["output", "dx"]
    gradients = ["dW1", "db1", "dW2", "db2"]
    parts = {
        "Affine1": affine, "Relu1": relu, "Affine2": affine, "SoftmaxWithLoss": loss,
        "network": gradients, "training step": gradients,
    }  # fmt: skip
    expected = {
        (backend.name, dtype, part, quantity, against)
        for dtype in ("float32", "float64")
        for part, quantities in parts.items()
        for quantity in quantities
        for against in ("numpy float64", "numerical gradient")
        if quantity != "output" or against == "numpy float64"
    }
    found = [(c.backend, c.dtype, c.part, c.quantity, c.against) for c in report.comparisons]
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert report.samples == 3
    assert report.left_out == 0
    for c in report.comparisons:
        kind = "network" if c.part in ("network", "training step") else "layer"
        assert c.bound == BOUNDS[kind, c.against, c.dtype]
        assert 0 <= c.error <= c.bound


@pytest.mark.parametrize("loss", LOSSES)
def test_networks_with_any_loss(backend: Backend, small: Batch, loss: type[Loss]) -> None:
    network = TwoLayerNet(12, 5, 4, 0.5, seed=0)
    network.lastLayer = loss()
    report = check_gradients(network, small.x, small.one_hot, backends=["numpy", backend.name])
    assert report.passed, str(report)
    parts = {c.part for c in report.comparisons}
    assert parts == {"Affine1", "Relu1", "Affine2", loss.__name__, "network", "training step"}


def test_every_usable_backend_is_checked_by_default(small: Batch) -> None:
    report = check_gradients(TwoLayerNet(12, 5, 4, 0.5, seed=0), small.x, small.t)
    usable = [name for name, info in fastnn.available_backends().items() if info.usable]
    assert list(dict.fromkeys(c.backend for c in report.comparisons)) == usable
    one = check_gradients(TwoLayerNet(12, 5, 4, 0.5, seed=0), small.x, small.t, backends="numpy")
    assert {c.backend for c in one.comparisons} == {"numpy"}


# What is wrong


def faulty(primitive: str, fault: Callable[..., Any]) -> type[Backend]:
    """Make a backend whose `primitive` computes ``fault(right, *arguments, **options)``."""

    def wrong(self: Any, *arguments: Any, **options: Any) -> Any:
        out = options.pop("out", None)
        right = getattr(NumpyBackend, primitive)(self, *arguments, **options)
        result = fault(right, *arguments, **options)
        if out is None:
            return result
        for buffer, one in zip(as_tuple(out), as_tuple(result), strict=True):
            if buffer is not None:
                buffer[...] = one
        return out

    return type("Faulty", (NumpyBackend,), {"name": "faulty", primitive: wrong})


def as_tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def at(index: int, fault: Callable[[Any], Any]) -> Callable[..., Any]:
    """Put a fault into one of several results."""
    return lambda right, *a, **k: (
        *right[:index], None if right[index] is None else fault(right[index]), *right[index + 1 :]
    )  # fmt: skip


def one_entry(array: Any, value: Any = None) -> Any:
    """Change the last entry alone: by a thousandth of the largest, or to `value`."""
    array = array.copy()
    array.flat[-1] = array.flat[-1] + 1e-3 * np.abs(array).max() if value is None else value
    return array


def add_to_one_entry(array: Any) -> Any:
    array[...] = one_entry(array)
    return array


def transposed(array: Any) -> Any:
    return np.ascontiguousarray(array.T).reshape(array.shape)


def mask_of_not_negative(right: Any, dout: Any, x: Any, W: Any, **options: Any) -> Any:
    """Let the gradient through where the ReLU's input was negative, not where it was positive."""
    if not (options.get("relu") and options.get("input_gradient", True)):
        return right
    return (np.where(x <= 0, dout @ W.T, 0), *right[1:])


FAULTS: dict[str, dict[str, Callable[..., Any]]] = {
    "affine": {
        "a factor": lambda y, *a, **k: y * 1.001,
        "one entry": lambda y, *a, **k: one_entry(y),
        "NaN": lambda y, *a, **k: one_entry(y, np.nan),
        "no bias": lambda y, x, W, b, relu=False: np.maximum(x @ W, 0) if relu else x @ W,
        "no ReLU where it is fused": lambda y, x, W, b, relu=False: x @ W + b,
        "ReLU leaks where it is fused": (
            lambda y, x, W, b, relu=False: y + relu * 1e-2 * np.minimum(x @ W + b, 0)
        ),
    },
    "affine_backward": {
        "dW by a factor": at(1, lambda dW: dW * 1.001),
        "dW transposed": at(1, transposed),
        "dW: one entry": at(1, one_entry),
        "dW: NaN": at(1, lambda dW: one_entry(dW, np.nan)),
        "db divided by N": lambda right, dout, *a, **k: (*right[:2], right[2] / len(dout)),
        "db of the last sample": lambda right, dout, *a, **k: (*right[:2], dout[-1]),
        "db: one entry": at(2, one_entry),
        "dx by a factor": at(0, lambda dx: dx * 1.001),
        "dx: one entry": at(0, one_entry),
        "dx reversed": at(0, lambda dx: dx[::-1]),
        "mask of ReLU forgotten where it is fused": lambda right, dout, x, W, **k: (
            (dout @ W.T, *right[1:]) if k.get("input_gradient", True) else right
        ),
        "mask of ReLU the wrong way round": mask_of_not_negative,
    },
    "relu": {
        "leaky": lambda y, x, **k: np.where(x <= 0, 1e-3 * x, x),
        "a threshold": lambda y, x, **k: np.where(x < 0.3, 0, x),
        "NaN": lambda y, x, **k: one_entry(y, np.nan),
    },
    "relu_backward": {
        "the mask the wrong way round": lambda dx, dout, mask, **k: np.where(mask, dout, 0),
        "no mask": lambda dx, dout, mask, **k: dout.copy(),
        "mask of the sample before": lambda dx, dout, mask, **k: np.where(
            np.roll(mask, 1, axis=0), 0, dout
        ),
        "a factor": lambda dx, *a, **k: dx * 1.001,
    },
    "leaky_relu": {
        "by a factor": lambda y, *a, **k: y * 1.001,
        "relu": lambda y, *a, **k: np.maximum(y, 0),
        "one entry": lambda y, *a, **k: one_entry(y),
    },
    "leaky_relu_backward": {
        "relu": lambda dx, dout, y, **k: np.where(y <= 0, 0, dout),
        "not at all": lambda dx, dout, y, **k: dout,
        "one entry": lambda dx, *a, **k: one_entry(dx),
    },
    "sigmoid": {
        "by a factor": lambda y, *a, **k: y * 1.001,
        "of the negative": lambda y, *a, **k: 1 - y,
        "one entry": lambda y, *a, **k: one_entry(y),
    },
    "sigmoid_backward": {
        "half of it": lambda dx, dout, y, **k: dout * y,
        "the sign": lambda dx, *a, **k: -dx,
        "one entry": lambda dx, *a, **k: one_entry(dx),
    },
    "tanh": {
        "by a factor": lambda y, *a, **k: y * 1.001,
        "the sign": lambda y, *a, **k: -y,
        "one entry": lambda y, *a, **k: one_entry(y),
    },
    "tanh_backward": {
        "without the square": lambda dx, dout, y, **k: dout * (1 - y),
        "not at all": lambda dx, dout, y, **k: dout,
        "one entry": lambda dx, *a, **k: one_entry(dx),
    },
    "gelu": {
        "by a factor": lambda y, *a, **k: y * 1.001,
        "by tanh": lambda y, x, **k: (
            x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
        ),
        "relu": lambda y, x, **k: np.maximum(x, 0),
        "one entry": lambda y, *a, **k: one_entry(y),
    },
    "gelu_backward": {
        "by a factor": lambda dx, *a, **k: dx * 1.001,
        "relu": lambda dx, dout, x, **k: np.where(x <= 0, 0, dout),
        "not at all": lambda dx, dout, x, **k: dout,
        "one entry": lambda dx, *a, **k: one_entry(dx),
    },
    "dropout": {
        "by a factor": at(0, lambda y: y * 1.001),
        "nothing is dropped": lambda right, x, step, **k: (x.copy(), np.ones_like(right[1])),
        "the mask of the next draw": lambda right, x, step, **k: (
            NumpyBackend().dropout(x, step + 1, **k)
        ),
        "the mask of the sample before": lambda right, x, step, **k: (
            x * np.roll(right[1], 1, axis=0), np.roll(right[1], 1, axis=0)
        ),
        "a mask that is not that of the output": at(1, lambda mask: np.roll(mask, 1, axis=1)),
        "inverted": at(0, lambda y: 2 * y),
    },
    "dropout_backward": {
        "not at all": lambda dx, dout, mask, **k: dout.copy(),
        "the other units": lambda dx, dout, mask, **k: dout * ~mask,
        "inverted": lambda dx, *a, **k: 2 * dx,
        "one entry": lambda dx, *a, **k: one_entry(dx),
    },
    "batch_norm": {
        "y by a factor": at(0, lambda y: y * 1.001),
        "y: one entry": at(0, one_entry),
        "without beta": lambda right, x, gamma, beta, **k: (right[0] - beta, *right[1:]),
        "xn by a factor": at(1, lambda xn: xn * 1.001),
        "xn: one entry": at(1, one_entry),
        "std by a factor": at(2, lambda std: std * 1.001),
        "std of N - 1 samples": at(2, lambda std: std * np.sqrt(7 / 6)),
        "NaN": at(0, lambda y: one_entry(y, np.nan)),
    },
    "batch_norm_backward": {
        "mean and std do not follow x": lambda right, dout, gamma, xn, std, **k: (
            dout * gamma / std, *right[1:]
        ),
        "std does not follow x": lambda right, dout, gamma, xn, std, **k: (
            (dout - dout.mean(axis=0)) * gamma / std, *right[1:]
        ),
        "dx without gamma": lambda right, dout, gamma, *a, **k: (right[0] / gamma, *right[1:]),
        "dx: one entry": at(0, one_entry),
        "dgamma by a factor": at(1, lambda dgamma: dgamma * 1.001),
        "dgamma: one entry": at(1, one_entry),
        "dbeta divided by N": lambda right, dout, *a, **k: (*right[:2], right[2] / len(dout)),
        "dbeta: one entry": at(2, one_entry),
    },
    "softmax_cross_entropy": {
        "losses by a factor": at(0, lambda losses: losses * 1.001),
        "y by a factor": at(1, lambda y: y * 1.001),
        "y: one entry": at(1, one_entry),
        "loss of the class beside": lambda right, x, t, **k: (
            -np.log(np.take_along_axis(right[1], (t[:, None] + 1) % x.shape[1], axis=1))[:, 0],
            right[1],
        ),
        "NaN": at(1, lambda y: one_entry(y, np.nan)),
    },
    "softmax_cross_entropy_backward": {
        "not divided by N": lambda dx, y, *a, **k: dx * len(y),
        "divided by N - 1": lambda dx, y, *a, **k: dx * len(y) / (len(y) - 1),
        "one-hot forgotten": lambda dx, y, *a, **k: y / len(y),
        "the label beside": lambda dx, y, t, **k: (y - np.roll(np.eye(4)[t], 1, axis=1)) / len(y),
        "the sign": lambda dx, *a, **k: -dx,
        "one entry": lambda dx, *a, **k: one_entry(dx),
    },
    "sigmoid_cross_entropy": {
        "losses by a factor": at(0, lambda losses: losses * 1.001),
        "y by a factor": at(1, lambda y: y * 1.001),
        "y: one entry": at(1, one_entry),
        "the other label": lambda right, x, t, **k: (
            NumpyBackend().sigmoid_cross_entropy(x, 1 - t)[0], right[1]
        ),
        "the mean over the outputs": at(0, lambda losses: losses / 4),
        "NaN": at(1, lambda y: one_entry(y, np.nan)),
    },
    "sigmoid_cross_entropy_backward": {
        "not divided by N": lambda dx, y, *a, **k: dx * len(y),
        "times the derivative of sigmoid": lambda dx, y, *a, **k: dx * y * (1 - y),
        "the sign": lambda dx, *a, **k: -dx,
        "one entry": lambda dx, *a, **k: one_entry(dx),
    },
    "squared_error": {
        "by a factor": lambda losses, *a, **k: losses * 1.001,
        "without the half": lambda losses, *a, **k: 2 * losses,
        "of the first output": lambda losses, x, t, **k: (x - t)[:, 0] ** 2 / 2,
        "one entry": lambda losses, *a, **k: one_entry(losses),
    },
    "squared_error_backward": {
        "not divided by N": lambda dx, x, *a, **k: dx * len(x),
        "twice": lambda dx, *a, **k: 2 * dx,
        "the sign": lambda dx, *a, **k: -dx,
        "one entry": lambda dx, *a, **k: one_entry(dx),
    },
    "poisson_deviance": {
        "losses by a factor": at(0, lambda losses: losses * 1.001),
        "y by a factor": at(1, lambda y: y * 1.001),
        "y: one entry": at(1, one_entry),
        "twice, which is the deviance": at(0, lambda losses: 2 * losses),
        "the score for the mean": at(1, np.log),
    },
    "poisson_deviance_backward": {
        "not divided by N": lambda dx, y, *a, **k: dx * len(y),
        "by the mean and not its logarithm": lambda dx, y, *a, **k: dx / y,
        "the sign": lambda dx, *a, **k: -dx,
        "one entry": lambda dx, *a, **k: one_entry(dx),
    },
    "mean": {
        "a sum": lambda mean, losses, **k: losses.sum(),
        "without the last": lambda mean, losses, **k: losses[:-1].mean(),
        "a factor": lambda mean, losses, **k: mean * 1.001,
    },
    "label_indices": {
        "the label beside": lambda indices, t, classes: (indices + 1) % classes,
        "the first class for all": lambda indices, t, classes: np.zeros_like(indices),
        "the label of the sample before": lambda indices, t, classes: np.roll(indices, 1),
    },
    "take_rows": {
        "the row behind": lambda rows, x, index, **k: (
            x[(index + 1) % len(x)].astype(rows.dtype) if x.ndim > 1 else rows
        ),
        "the first row for all": lambda rows, *a, **k: np.repeat(rows[:1], len(rows), axis=0),
        "one entry": lambda rows, *a, **k: one_entry(rows, 7) if rows.ndim > 1 else rows,
    },
    "decayed_gradient": {
        "a factor": lambda right, dW, W, weight_decay: dW + 1.001 * weight_decay * W,
        "without the decay": lambda right, dW, *a, **k: dW.copy(),
        "the decay alone": lambda right, dW, W, weight_decay: weight_decay * W,
        "one entry": lambda right, *a, **k: one_entry(right),
    },
    "sgd_update": {
        "a factor": lambda W, _, dW, lr: np.subtract(W, 1e-3 * lr * dW, out=W),
        "the sign": lambda W, _, dW, lr: np.add(W, 2 * lr * dW, out=W),
        "a rate of the last call": lambda W, _, dW, lr: np.add(W, (lr - 0.1) * dW, out=W),
        "one entry": lambda W, *a, **k: add_to_one_entry(W),
        "nothing": lambda W, _, dW, lr: np.add(W, lr * dW, out=W),
    },
}  # fmt: skip
NO_GRADIENT = {
    "softmax", "count_correct", "count_exact", "penalised", "clip_factor", "scaled_gradient",
    "batch_norm_evaluation", "weighted", *[p for p in IN_PLACE if p != "sgd_update"],
}  # fmt: skip
BROKEN = [(primitive, fault) for primitive, faults in FAULTS.items() for fault in faults]


def test_there_are_faults_in_every_primitive() -> None:
    assert set(FAULTS) == set(CASES) - NO_GRADIENT


def with_layer_for(primitive: str, network: Sequential) -> Sequential:
    """Put the layer behind the first ReLU that has this primitive, if there is one."""
    with fastnn.use_backend("numpy"):
        gamma, beta = np.linspace(0.5, 1.5, 7), np.linspace(0.1, 0.3, 7)
        layers: dict[str, Layer] = {
            "dropout": Dropout(0.5, seed=1),
            "batch_norm": BatchNormalization(gamma.astype("float32"), beta.astype("float32")),
        }
        name = primitive.removesuffix("_backward")
        if name not in layers:
            return network
        first, relu, *others = network.copy().to("numpy").layers.values()
        network = Sequential([first, relu, layers[name], *others])
        network.params["b2"] = np.linspace(-1, 1, 6)  # or else what is dropped ends at a kink
        return network


def check(
    monkeypatch: pytest.MonkeyPatch, backend: Backend, small: Batch, primitive: str
) -> GradientReport:
    monkeypatch.setitem(arrays.loaded, "faulty", backend)
    monkeypatch.setitem(selection.REGISTRY, "faulty", "")
    activation = primitive.removesuffix("_backward")
    network = zoo("float32")["deep"]
    if activation in ACTIVATIONS:
        network = MultiLayerNet(12, [7, 6, 5], 4, activation, "xavier", dtype="float32", seed=2)
    network.params.update(b1=np.linspace(-1, 1, 7), b3=np.linspace(-1, 1, 5), b4=np.arange(4))
    network.weight_decay_lambda = 0.5 if primitive == "decayed_gradient" else 0.0
    network = with_layer_for(primitive, network)
    losses = [cls() for cls in LOSSES if primitive.removesuffix("_backward") == cls.primitive]
    if losses:
        (network.lastLayer,) = losses
    return check_gradients(network, small.x, small.one_hot, backends=["faulty"])


@pytest.mark.parametrize(("primitive", "fault"), BROKEN)
def test_a_fault_in_any_primitive_is_found(
    monkeypatch: pytest.MonkeyPatch, small: Batch, primitive: str, fault: str
) -> None:
    report = check(monkeypatch, faulty(primitive, FAULTS[primitive][fault])(), small, primitive)
    assert not report.passed
    wrong = [c for c in report.comparisons if not c.passed]
    assert {c.dtype for c in wrong} == {"float32", "float64"}
    assert "WRONG" in str(report)
    read = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert read["passed"] is False
    assert sum(not row["passed"] for row in read["comparisons"]) == len(wrong)


def test_a_backend_without_fault_is_not_accused(
    monkeypatch: pytest.MonkeyPatch, small: Batch
) -> None:
    for primitive in FAULTS:
        backend = faulty(primitive, lambda right, *a, **k: right)()
        assert check(monkeypatch, backend, small, primitive).passed


class WrongRunner(Loop):
    """A compiled plan that forgets a bias, as a kernel of a backend's own might."""

    def run(self, rows: Any, hyperparameters: Any, stop: Any = None) -> Any:
        before = self.plan.arrays["b2"].copy()
        losses = super().run(rows, hyperparameters, stop)
        self.plan.arrays["b2"][...] = before
        return losses


def test_a_fault_in_a_compiled_plan_is_found(monkeypatch: pytest.MonkeyPatch, small: Batch) -> None:
    backend = NumpyBackend()
    monkeypatch.setattr(backend, "compile", lambda plan: WrongRunner(backend, plan))
    wrong = [c for c in check(monkeypatch, backend, small, "affine").comparisons if not c.passed]
    assert {(c.part, c.quantity) for c in wrong} == {("training step", "db2")}


def test_a_wrong_layer_of_the_users_own_is_found(small: Batch) -> None:
    class Cube(Square):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * x  # and the gradient is still that of the square

    with fastnn.use_backend("numpy"):
        first = Affine(np.random.default_rng(0).standard_normal((12, 5)), np.ones(5))
        good = Sequential([first, Scale(np.full(5, 1.5)), Square()])
        bad = Sequential([copy.deepcopy(first), Scale(np.full(5, 1.5)), Cube()])
    assert check_gradients(good, small.x, small.t, backends="numpy").passed
    wrong = [
        (c.part, c.quantity)
        for c in check_gradients(bad, small.x, small.t, backends="numpy").comparisons
        if not c.passed
    ]
    assert ("Cube1", "dx") in wrong
    assert ("network", "dW1") in wrong
    assert not {part for part, _ in wrong} & {"Affine1", "Scale1", "SoftmaxWithLoss"}


def test_a_loss_of_the_users_own(small: Batch) -> None:
    t = np.random.default_rng(0).standard_normal((3, 2))
    with fastnn.use_backend("numpy"):
        network = Sequential([Affine(np.ones((12, 2)), np.zeros(2))], SquaredError())
    report = check_gradients(network, small.x, t, backends="numpy")
    assert report.passed, str(report)
    assert "SquaredError" in str(report)


# Kinks, and what cannot be checked


def test_samples_at_a_kink_are_left_out(backend: Backend) -> None:
    network = Sequential([affine_of(np.array([[1.0, -1.0]]), np.zeros(2)), Relu()])
    x, t = np.array([[0.5], [0.0], [-2.0], [1e-7]]), np.array([0, 1, 1, 0])
    report = check_gradients(network, x, t, backends=[backend.name])
    assert report.passed, str(report)
    assert (report.samples, report.left_out) == (2, 2)
    assert "2 samples at a kink of ReLU were left out" in str(report)
    assert report.as_dict()["left_out"] == 2
    with pytest.raises(ValueError, match="every sample has an activation at the kink"):
        check_gradients(network, np.zeros((3, 1)), [0, 1, 0])


def test_units_that_are_dead_pass(backend: Backend, small: Batch) -> None:
    network = TwoLayerNet(12, 5, 4, 0.5, seed=0)
    network.params["b1"] = np.full(5, -100.0)
    assert check_gradients(network, small.x, small.t, backends=[backend.name]).passed


@pytest.mark.parametrize("weights", [1e-3, 1, 1e2, 1e4])
@pytest.mark.parametrize("inputs", [1e-2, 1, 255])
def test_inputs_and_weights_of_any_size_pass(small: Batch, weights: float, inputs: float) -> None:
    if weights * inputs > 1e6:
        pytest.skip("the loss is so large that float64 has no digits left for its differences")
    with fastnn.use_backend("numpy"):
        network = TwoLayerNet(12, 5, 4, weights, seed=0)
    report = check_gradients(network, small.x * inputs, small.t, backends="numpy")
    assert report.passed, str(report)


def test_what_cannot_be_checked(small: Batch) -> None:
    tiny = TwoLayerNet(12, 5, 4, 1e-7, seed=0)  # any step of its weights passes over the kinks
    with pytest.raises(ValueError, match="every sample has an activation at the kink"):
        check_gradients(tiny, small.x, small.t)
    network = TwoLayerNet(12, 5, 4, 0.5, seed=0)
    with pytest.raises(ValueError, match="backends is empty"):
        check_gradients(network, small.x, small.t, backends=[])
    with pytest.raises(ValueError, match="did you mean 'numpy'"):
        check_gradients(network, small.x, small.t, backends=["nunpy"])
    network.params["b2"] = [0, np.nan, 0, 0]
    with pytest.raises(ValueError, match="parameter b2 holds NaN"):
        check_gradients(network, small.x, small.t)


def test_the_numbers_of_a_report() -> None:
    def comparison(error: float, part: str = "Affine1", quantity: str = "dx") -> Comparison:
        return Comparison("numpy", "float64", part, quantity, "numpy float64", error, 1e-3)

    assert comparison(1e-3).passed
    for error in (1.1e-3, math.inf, math.nan):
        assert not comparison(error).passed
        report = GradientReport([comparison(0), comparison(error)], 5, 0)
        assert not report.passed
        assert report.as_dict()["comparisons"][1]["passed"] is False
    text = str(GradientReport([comparison(2e-4, quantity="dW"), comparison(1e-4)], 5, 0))
    assert "dW      2.0e-04 <= 1e-03" in text  # the one that comes closest to its bound
    assert "WRONG" not in text
    assert "kink" not in text
    text = str(GradientReport([comparison(math.nan, quantity="db"), comparison(1e-4)], 5, 0))
    assert "db          nan >  1e-03 WRONG" in text


def test_x_and_t_swapped_are_told(small: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, seed=0)
    for x, t in ((small.t, small.x), (small.one_hot, small.x), (small.t.tolist(), small.x)):
        with pytest.raises(ValueError, match=r"x and t seem to be swapped: x has the inputs"):
            check_gradients(network, x, t, backends="numpy")
