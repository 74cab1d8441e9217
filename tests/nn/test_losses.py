"""The losses: their values, their gradients, what they take for targets, and what is good."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    MeanSquaredError,
    MultiLayerNet,
    PoissonWithLoss,
    Sequential,
    SigmoidWithLoss,
    SoftmaxWithLoss,
)
from fastnn.backends import Backend
from fastnn.nn import sequential
from fastnn.nn.loss import Loss
from fastnn.nn.losses import LOSSES
from tests.helpers.problems import affine_of, relative_error
from tests.helpers.refusals import WITH_LABELS, Frame, bits, changed, refuses

BOUNDS = {"float64": 1e-12, "float32": 2e-6}

Array = Any


def naive(loss: type[Loss], x: Array, t: Array) -> tuple[float, Array]:
    """The mean loss and its gradient by the book's formulas, t being one-hot or numbers."""
    if loss is SoftmaxWithLoss:
        y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        losses = -(t * np.log(y)).sum(axis=1)
    elif loss is SigmoidWithLoss:
        y = 1 / (1 + np.exp(-x))
        losses = -(t * np.log(y) + (1 - t) * np.log(1 - y)).sum(axis=1)
    elif loss is PoissonWithLoss:
        y = np.exp(x)
        losses = (t * np.log(np.where(t > 0, t, 1) / y) - t + y).sum(axis=1)
    else:
        y = x
        losses = 0.5 * ((y - t) ** 2).sum(axis=1)
    return float(losses.mean()), (y - t) / len(x)


def targets_for(loss: type[Loss], rng: np.random.Generator, samples: int, outputs: int) -> Array:
    if loss is SoftmaxWithLoss:
        return np.eye(outputs)[rng.integers(0, outputs, samples)]
    if loss is SigmoidWithLoss:
        return rng.integers(0, 2, (samples, outputs)).astype("float64")
    if loss is PoissonWithLoss:
        return rng.poisson(2, (samples, outputs)).astype("float64")
    return rng.standard_normal((samples, outputs)).astype("float32").astype("float64")


def network_with(loss: type[Loss], outputs: int = 3, *, dtype: str = "float64") -> MultiLayerNet:
    network = MultiLayerNet(6, [5], outputs, dtype=dtype, seed=1)
    network.lastLayer = loss()
    return network


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("outputs", [1, 2, 10, 65])
def test_loss_and_gradient_are_the_formulas(
    backend: Backend, dtype: str, loss: type[Loss], outputs: int, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((7, outputs)).astype(dtype)
    t = targets_for(loss, rng, 7, outputs)
    value, gradient = naive(loss, x.astype("float64"), t)
    layer = loss()
    found = layer.forward(backend.asarray(x), backend.asarray(t))
    assert backend.owns(found)
    assert float(found) == pytest.approx(value, rel=2e-6 if dtype == "float32" else 1e-12)
    assert layer.loss is found
    assert relative_error(layer.backward(), gradient) <= BOUNDS[dtype]
    assert relative_error(layer.backward(3), 3 * gradient) <= BOUNDS[dtype]
    kind = backend.xp.float32 if dtype == "float32" else backend.xp.float64
    assert layer.backward().dtype == found.dtype == kind


def test_soft_labels_of_sigmoid(backend: Backend, rng: np.random.Generator) -> None:
    x, t = rng.standard_normal((9, 4)), rng.random((9, 4))
    layer = SigmoidWithLoss()
    value, gradient = naive(SigmoidWithLoss, x, t)
    assert float(layer.forward(backend.asarray(x), backend.asarray(t))) == pytest.approx(value)
    assert relative_error(layer.backward(), gradient) <= 1e-12


def test_sure_answers_of_sigmoid_have_exact_losses(backend: Backend, dtype: str) -> None:
    """Where y is rounded to 0 or 1, and log(1 - y) would be infinite."""
    layer, one = SigmoidWithLoss(), backend.asarray(np.ones((1, 1)))
    for score, label, loss in (
        (-1000.0, 1, 1000.0), (1000.0, 0, 1000.0), (1000.0, 1, 0.0), (-1000.0, 0, 0.0),
        (60.0, 1, math.exp(-60)), (-60.0, 0, math.exp(-60)), (0.0, 1, math.log(2)),
        (1e6, 0.75, 0.25e6), (-1e6, 2**-20, 1e6 * 2**-20),
    ):  # fmt: skip
        x = backend.asarray(np.array([[score]], dtype))
        assert float(layer.forward(x, label * one)) == pytest.approx(loss, rel=1e-6, abs=0)
        y = 1 / (1 + math.exp(-score)) if score > -700 else 0.0
        gradient = float(layer.backward()[0, 0])
        assert gradient == pytest.approx(y - label, abs=float(np.finfo(dtype).eps))


@pytest.mark.parametrize("loss", [SigmoidWithLoss, MeanSquaredError, PoissonWithLoss])
def test_scores_of_any_finite_size_have_a_finite_loss(
    backend: Backend, dtype: str, loss: type[Loss]
) -> None:
    largest = float(np.finfo(dtype).max)
    x = backend.asarray(np.array([[largest, -largest]] * 5, dtype))
    for t in (np.ones((5, 2)), np.zeros((5, 2)), np.array([[0.0, 1.0]] * 5)):
        layer = loss()
        assert math.isfinite(float(layer.forward(x, backend.asarray(t))))
        if loss is not PoissonWithLoss:  # whose mean, exp(x), is infinite
            assert np.isfinite(fastnn.to_numpy(layer.backward())).all()


@pytest.mark.parametrize("loss", [SigmoidWithLoss, MeanSquaredError])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_has_diverged_looks_diverged(backend: Backend, loss: type[Loss], bad: float) -> None:
    network = network_with(loss, 2)
    network.params["b2"] = [0.0, bad]
    x, t = np.ones((3, 6)), np.array([[1.0, 1.0]] * 3)
    assert not network.loss(x, t) < 1e30
    score = network.score(x, t)
    assert math.isnan(score) or score <= (1 if loss is SigmoidWithLoss and bad == np.inf else 0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_numerical_gradient(
    backend: Backend, loss: type[Loss], outputs: int, rng: np.random.Generator
) -> None:
    network = network_with(loss, outputs)
    x, t = rng.standard_normal((4, 6)), targets_for(loss, rng, 4, outputs)
    right = network.numerical_gradient(x, t)
    for name, gradient in network.gradient(x, t).items():
        np.testing.assert_allclose(
            fastnn.to_numpy(gradient), fastnn.to_numpy(right[name]), atol=1e-7, err_msg=name
        )


@pytest.mark.parametrize("loss", LOSSES)
def test_numerical_gradient_by_the_definition(loss: type[Loss], rng: np.random.Generator) -> None:
    network = network_with(loss)
    x, t = rng.standard_normal((4, 6)), targets_for(loss, rng, 4, 3)
    quick = network.numerical_gradient(x, t)["W1"]
    literal = fastnn.numerical_gradient(lambda _: network.loss(x, t), network.params["W1"])
    np.testing.assert_allclose(fastnn.to_numpy(quick), fastnn.to_numpy(literal), atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_by_hand_behind_a_loss_in_float64(
    backend: Backend, dtype: str, loss: type[Loss], rng: np.random.Generator
) -> None:
    """`network.loss` computes in float64, and leaves what `backward` needs in the network's."""
    network = network_with(loss, dtype=dtype)
    x, t = rng.standard_normal((4, 6)), targets_for(loss, rng, 4, 3)
    expected = network.gradient(x, t)["W2"]
    network.loss(x, t)
    dout = network.lastLayer.backward(1)
    assert dout.dtype == network.params["W1"].dtype
    network.layers["Affine2"].backward(dout)
    assert relative_error(network.layers["Affine2"].dW, expected) <= BOUNDS[dtype]


# Training


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_200_steps_are_those_of_the_formulas(
    backend: Backend, dtype: str, loss: type[Loss], outputs: int, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((60, 6)).astype("float32")
    t = targets_for(loss, rng, 60, outputs)
    network = network_with(loss, outputs, dtype=dtype)
    W1, b1, W2, b2 = (fastnn.to_numpy(p).astype("float64") for p in network.params.values())
    history = fastnn.fit(network, x, t, epochs=20, batch_size=6, optimizer=fastnn.SGD(0.1), seed=3,
                         progress=False)  # fmt: skip
    order, expected = np.random.default_rng(3), []
    for _ in range(20):
        for rows in order.permutation(60).reshape(-1, 6):
            a = x[rows] @ W1 + b1
            h = np.maximum(a, 0)
            value, dout = naive(loss, h @ W2 + b2, t[rows])
            expected.append(value)
            da = dout @ W2.T * (a > 0)
            W2, b2 = W2 - 0.1 * (h.T @ dout), b2 - 0.1 * dout.sum(axis=0)
            W1, b1 = W1 - 0.1 * (x[rows].T @ da), b1 - 0.1 * da.sum(axis=0)
    rel = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(history.losses, expected, rtol=rel, atol=rel)
    trained = [fastnn.to_numpy(p) for p in network.params.values()]
    for found, right in zip(trained, (W1, b1, W2, b2), strict=True):
        np.testing.assert_allclose(found, right, rtol=rel, atol=rel)


@pytest.mark.parametrize("loss", [SigmoidWithLoss, MeanSquaredError, PoissonWithLoss])
def test_a_column_of_targets_is_never_broadcast(
    backend: Backend, loss: type[Loss], rng: np.random.Generator
) -> None:
    x, column = rng.standard_normal((8, 6)), targets_for(loss, rng, 8, 1)
    results = []
    for t in (column, column[:, 0], column[:, 0].tolist(), Frame(column)):
        network = network_with(loss, 1)
        score = 0 if loss is PoissonWithLoss else network.score(x, t)
        results.append(
            [
                network.loss(x, t), score, *network.gradient(x, t).values(),
                fastnn.fit(network, x, t, batch_size=3, seed=0, progress=False).losses,
            ]
        )  # fmt: skip
    for other in results[1:]:
        for one, right in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(fastnn.to_numpy(one), fastnn.to_numpy(right))
    network = network_with(loss, 1)
    assert network.loss(x, column) == pytest.approx(
        naive(loss, fastnn.to_numpy(network.predict(x)), column)[0]
    )


@pytest.mark.parametrize("loss", [SigmoidWithLoss, MeanSquaredError])
@pytest.mark.parametrize("kind", ["bool", "int8", "uint64", "float16", "float32", "float64"])
def test_targets_of_any_dtype(
    backend: Backend, loss: type[Loss], kind: str, rng: np.random.Generator
) -> None:
    x, t = rng.standard_normal((8, 6)), rng.integers(0, 2, (8, 3))
    network, expected = network_with(loss), network_with(loss)
    assert network.loss(x, t.astype(kind)) == expected.loss(x, t.astype("float64"))
    assert network.score(x, t.astype(kind)) == expected.score(x, t.astype("float64"))
    found, right = (
        fastnn.fit(net, x, labels, epochs=2, batch_size=3, seed=0, progress=False).losses
        for net, labels in ((network, t.astype(kind)), (expected, t.astype("float64")))
    )
    assert found == right


@pytest.mark.parametrize("loss", [SigmoidWithLoss, MeanSquaredError, PoissonWithLoss])
def test_one_sample(backend: Backend, loss: type[Loss], rng: np.random.Generator) -> None:
    x, t = rng.standard_normal(6), targets_for(loss, rng, 1, 3)[0]
    network = network_with(loss)
    assert network.loss(x, t) == network.loss(x[None], t[None])
    narrow = network_with(loss, 1)
    assert narrow.loss(x, t[0]) == narrow.loss(x[None], t[:1]) == narrow.loss(x, t[:1])


def test_targets_are_copied(backend: Backend, rng: np.random.Generator) -> None:
    x, t = rng.standard_normal((30, 6)), rng.standard_normal((30, 3))
    given = backend.copy(backend.asarray(t))

    def spoil(network: object, history: object) -> None:
        given[...] = 7.0

    histories = [
        fastnn.fit(network_with(MeanSquaredError), x, targets, epochs=3, batch_size=7, seed=0,
                   callbacks=callbacks, progress=False)
        for targets, callbacks in ((t, []), (given, [spoil]))
    ]  # fmt: skip
    assert histories[0].losses == histories[1].losses
    layer = MeanSquaredError()
    scores, targets = backend.asarray(np.ones((2, 2))), backend.asarray(np.zeros((2, 2)))
    layer.forward(scores, targets)
    targets[...] = 5.0
    np.testing.assert_array_equal(fastnn.to_numpy(layer.backward()), np.full((2, 2), 0.5))


@pytest.mark.parametrize("loss", LOSSES)
def test_targets_that_stay_on_the_host(
    backend: Backend, loss: type[Loss], rng: np.random.Generator
) -> None:
    """As those of a data set that has no room on the device; checked, and an array of its own."""
    network, t = network_with(loss, dtype="float32"), targets_for(loss, rng, 5, 3)
    found = network.targets_on_host(t, (3,))
    assert isinstance(found, np.ndarray)
    expected = t.argmax(axis=1) if loss is SoftmaxWithLoss else t
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == ("int64" if loss is SoftmaxWithLoss else "float32")
    assert not np.shares_memory(found, t)


# What is good


def test_accuracy_of_several_labels_is_exact_match(backend: Backend, dtype: str) -> None:
    network = Sequential([affine_of(np.eye(2), np.zeros(2))], SigmoidWithLoss()).astype(dtype)
    scores = np.array([[1, 1], [1, -1], [-1, -1], [0, 3], [0, 0], [-2, 0]], dtype)
    for t, right in (
        ([[1, 1], [1, 0], [0, 0], [0, 1], [0, 0], [0, 0]], 6),
        ([[1, 0], [1, 0], [0, 0], [1, 1], [0, 0], [0, 0]], 4),
        ([[0, 0]] * 6, 3),
        ([[1, 1]] * 6, 1),
        ([[0.6, 0.4]] * 6, 1),
        ([[0.5, 0.51]] * 6, 1),
    ):
        assert network.accuracy(scores, t) == right / 6
        assert network.score(scores, t) == right / 6


def test_nan_is_no_right_answer(backend: Backend) -> None:
    network = Sequential([affine_of(np.eye(2), np.zeros(2))], SigmoidWithLoss())
    x = np.array([[np.nan, -1.0], [-1.0, np.nan], [-1.0, -1.0]])
    assert network.accuracy(x, np.zeros((3, 2))) == 1 / 3


def r2(x: Array, t: Array) -> float:
    left, spread = ((x - t) ** 2).sum(axis=0), ((t - t.mean(axis=0)) ** 2).sum(axis=0)
    return float(np.mean(1 - left / spread))


@pytest.mark.parametrize("chunk", [1, 7, 8192])
def test_score_of_numbers_is_r2(
    backend: Backend, dtype: str, chunk: int, rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sequential, "CHUNK", chunk)
    network = Sequential([affine_of(np.eye(3), np.zeros(3))], MeanSquaredError()).astype(dtype)
    x = rng.standard_normal((20, 3)).astype(dtype)
    t = (x + 0.3 * rng.standard_normal((20, 3)) + [1e4, 0, -3]).astype(dtype)
    assert network.score(x, t) == pytest.approx(r2(x.astype("float64"), t.astype("float64")))
    assert network.score(t, t) == 1
    means = np.broadcast_to(t.astype("float64").mean(axis=0), t.shape)
    assert network.astype("float64").score(means, t) == pytest.approx(0, abs=1e-12)


def test_r2_of_targets_without_spread(backend: Backend) -> None:
    network = Sequential([affine_of(np.eye(2), np.zeros(2))], MeanSquaredError())
    t = np.full((7, 2), 0.1)
    assert network.score(t, t) == 1
    assert network.score(t + np.array([0, 1]), t) == 0.5
    assert network.score([0.1, 0.1], [0.1, 0.1]) == 1
    assert network.score([0.1, 0.2], [0.1, 0.1]) == 0.5


def test_numbers_have_no_accuracy(backend: Backend) -> None:
    network = network_with(MeanSquaredError)
    with pytest.raises(TypeError, match=r"no accuracy; network\.score\(x, t\) gives R2"):
        network.accuracy(np.ones((2, 6)), np.ones((2, 3)))
    assert network_with(SoftmaxWithLoss).score(np.ones((2, 6)), [1, 1]) in (0.0, 1.0)


def test_counts_have_neither_accuracy_nor_score(backend: Backend) -> None:
    network, x, t = network_with(PoissonWithLoss), np.ones((2, 6)), np.ones((2, 3))
    for judge in (network.accuracy, network.score):
        with pytest.raises(TypeError, match=r"PoissonWithLoss does not say which .*its measure"):
            judge(x, t)
    with pytest.raises(TypeError, match=r"PoissonWithLoss gives numbers, .*logarithms of means"):
        network.predict_classes(x)


@pytest.mark.parametrize("scale", [1, 1 / 255])
def test_the_history_of_numbers_has_scores(
    backend: Backend, scale: float, rng: np.random.Generator
) -> None:
    x = rng.integers(0, 256, (50, 6)).astype("uint8")
    t, held_out = rng.standard_normal((50, 3)), rng.standard_normal((20, 3))
    if scale == 1:
        x = x / 255
    network, asked = network_with(MeanSquaredError), []

    def ask(network: Any, history: Any) -> None:
        asked.append((network.score(scale * x, t), network.score(scale * x[:20], held_out)))

    history = fastnn.fit(network, x, t, epochs=3, batch_size=9, seed=0, scale=scale,
                         validation=(x[:20], held_out), callbacks=[ask],
                         progress=False)  # fmt: skip
    assert history.train_accuracies == history.validation_accuracies == []
    found = list(zip(history.train_scores, history.validation_scores, strict=True))
    np.testing.assert_allclose(found, asked, rtol=1e-12)
    assert f"train R2 {history.train_scores[-1]:.4f}\n" in repr(history)
    assert "accuracy" not in repr(history)
    assert json.loads(json.dumps(history.as_dict()))["train_scores"] == history.train_scores
    history.train_scores[0] = math.nan
    assert history.as_dict()["train_scores"][0] is None


def test_the_history_of_several_labels_has_accuracies(
    backend: Backend, rng: np.random.Generator
) -> None:
    x, t = rng.standard_normal((50, 6)), rng.integers(0, 2, (50, 3))
    network = network_with(SigmoidWithLoss)
    history = fastnn.fit(network, x, t, epochs=3, seed=0, validation=(x[:9], t[:9]), progress=False)
    assert history.train_scores == []
    assert history.train_accuracies[-1] == network.accuracy(x, t)
    assert history.validation_accuracies[-1] == network.accuracy(x[:9], t[:9])


def test_an_accuracy_of_ones_own_is_what_fit_reports(rng: np.random.Generator) -> None:
    class Regression(MultiLayerNet):
        def accuracy(self, x: object, t: object) -> float:
            return 0.25

    network = Regression(6, [5], 3, seed=1)
    network.lastLayer = MeanSquaredError()
    x, t = rng.standard_normal((50, 6)), rng.standard_normal((50, 3))
    history = fastnn.fit(network, x, t, seed=0, validation=(x, t), progress=False)
    assert history.train_accuracies == history.validation_accuracies == [0.25]
    assert network.score(x, t) == 0.25


# What is refused

Case = tuple[Callable[[Array], Any], type[Exception], str]

BAD_SHAPES: dict[str, Case] = {
    "too few": (lambda t: t[:6], ValueError, r"7 samples.*\(6, 3\)"),
    "too wide": (lambda t: np.hstack([t, t]), ValueError, r"\(7, 6\).*7 samples and 3 outputs"),
    "too narrow": (lambda t: t[:, :2], ValueError, r"\(7, 2\).*3 outputs: expected \(7, 3\)"),
    "classes": (
        lambda t: np.arange(7) % 3, ValueError, r"\(7,\).*SoftmaxWithLoss.*one_hot\(t, 3\)",
    ),
    "another axis": (lambda t: t[:, None], ValueError, r"\(7, 1, 3\).*pass t\.reshape\(7, 3\)"),
    "complex": (lambda t: t + 0j, TypeError, "t.* dtype complex128"),
    "text": (lambda t: t.astype(str), TypeError, r"dtype str"),
    "None": (lambda t: None, TypeError, "t is None"),
    "a gap": (lambda t: [[None, 1, 0], *t[1:]], TypeError, r"t\[0, 0\] is None: fill"),
    "masked": (lambda t: np.ma.masked_array(t, t == t), TypeError, "masked"),
}  # fmt: skip
BAD_NUMBERS: dict[str, Case] = {
    "NaN": (
        lambda t: changed(t, np.nan, (5, 2)), ValueError,
        r"t\[5, 2\] is nan: MeanSquaredError needs finite.*gap.*isnan\(t\)\.any\(axis=1\)",
    ),
    "infinite": (lambda t: changed(t, -np.inf, (0, 1)), ValueError, r"t\[0, 1\] is -inf: Mean"),
}  # fmt: skip
BAD_BITS: dict[str, Case] = {
    "NaN": (lambda t: changed(t, np.nan, (5, 2)), ValueError, r"t\[5, 2\] is nan: Sigmoid.*gap"),
    "above": (lambda t: changed(t, 1.5, (0, 1)), ValueError, r"t\[0, 1\] is 1.5.*from 0 to 1$"),
    "below": (lambda t: changed(t, -0.1, (6, 0)), ValueError, r"t\[6, 0\] is -0.1.*from 0 to 1$"),
    "infinite": (lambda t: changed(t, np.inf, (6, 0)), ValueError, r"is inf.*from 0 to 1$"),
    "-1 and 1": (lambda t: 2 * t - 1, ValueError, r"for -1 and 1 pass \(t \+ 1\) / 2"),
    "1 and 2": (lambda t: t + 1, ValueError, r"is 2.*seem to count from 1: pass t - 1"),
    "of classes": (lambda t: changed(t, 4, (3, 0)), ValueError, "classes from 0 to 4.*Softmax"),
    "-1 as uint8": (lambda t: changed(t.astype("uint8"), 255, (3, 0)), ValueError, r"is 255"),
}  # fmt: skip


@pytest.fixture
def bits_of_labels() -> Array:
    t = np.random.default_rng(1).integers(0, 2, (7, 3)).astype("float64")
    t[0] = [0, 1, 0]
    return t


@pytest.mark.parametrize("loss", [SigmoidWithLoss, MeanSquaredError])
@pytest.mark.parametrize("case", BAD_SHAPES)
def test_targets_of_a_wrong_kind(
    backend: Backend, loss: type[Loss], case: str, bits_of_labels: Array
) -> None:
    make, error, words = BAD_SHAPES[case]
    for operation in operations(loss):
        refuses(error, words, operation, network_with(loss), np.ones((7, 6)), make(bits_of_labels))


@pytest.mark.parametrize(
    ("loss", "case"),
    [
        *[(MeanSquaredError, case) for case in BAD_NUMBERS.values()],
        *[(SigmoidWithLoss, case) for case in BAD_BITS.values()],
    ],
)
@pytest.mark.parametrize("on_device", [False, True])
def test_targets_out_of_range(
    backend: Backend, loss: type[Loss], case: Case, on_device: bool, bits_of_labels: Array
) -> None:
    make, error, words = case
    t = backend.asarray(make(bits_of_labels)) if on_device else make(bits_of_labels)
    for operation in operations(loss):
        network = network_with(loss, dtype="float32")
        refuses(error, words, operation, network, np.ones((7, 6)), t)


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize(("bad", "words"), [(-1.0, r"is -1\.0"), (np.nan, "is nan.*NaN is a gap")])
def test_counts_are_not_negative(
    backend: Backend, bad: float, words: str, on_device: bool, bits_of_labels: Array
) -> None:
    t = changed(bits_of_labels, bad, (3, 1))
    words = rf"t\[3, 1\] {words}"
    for name in ("loss", "gradient", "fit"):
        network = network_with(PoissonWithLoss, dtype="float32")
        given = backend.asarray(t) if on_device else t
        refuses(ValueError, words, WITH_LABELS[name], network, np.ones((7, 6)), given)


def test_targets_beyond_float32(backend: Backend, bits_of_labels: Array) -> None:
    x, t = np.ones((7, 6)), changed(bits_of_labels, 1e300, (6, 0))
    for name in ("loss", "gradient", "fit"):
        network = network_with(MeanSquaredError, dtype="float32")
        words = (
            r"t\[6, 0\] is 1e\+300, beyond the 3.4e\+38 of float32.*: MeanSquaredError needs finite"
        )
        refuses(ValueError, words, WITH_LABELS[name], network, x, t)
    assert network.astype("float64").loss(x, t) > 1e300


def operations(loss: type[Loss]) -> list[Callable[..., Any]]:
    """Whatever takes targets; there is no accuracy of numbers, but a score."""
    some = [call for name, call in WITH_LABELS.items() if name != "accuracy"]
    some.append(Sequential.score if loss is MeanSquaredError else Sequential.accuracy)
    return some


def test_a_column_with_one_output_is_named_by_its_own_shape(backend: Backend) -> None:
    network, x = network_with(SigmoidWithLoss, 1), np.ones((4, 6))
    with pytest.raises(ValueError, match=r"^t\[2\] is 3\.0: SigmoidWithLoss needs"):
        network.loss(x, np.array([0.0, 1.0, 3.0, 0.0]))
    with pytest.raises(ValueError, match=r"1 output: expected \(4, 1\), or \(4,\)"):
        network.loss(x, np.zeros((4, 2)))


@pytest.mark.parametrize("loss", LOSSES)
def test_what_a_loss_layer_refuses(backend: Backend, loss: type[Loss]) -> None:
    layer, t = loss(), backend.asarray(np.eye(3))
    name = loss.__name__
    with pytest.raises(ValueError, match=rf"{name}: x has shape \(3,\): expected \(N, C\)"):
        layer.forward(backend.asarray(np.ones(3)), t)
    with pytest.raises(TypeError, match="x is None"):
        layer.forward(None, t)
    if not backend.on_host:
        with pytest.raises(TypeError, match=f"{name}: t is a numpy.ndarray"):
            layer.forward(backend.asarray(np.ones((3, 3))), np.eye(3))
    with pytest.raises(RuntimeError, match=f"{name}: call forward before backward"):
        loss().backward()


def test_scores_of_three_axes_are_refused(backend: Backend) -> None:
    class Split:
        parameters = ()

        def forward(self, x: Array) -> Array:
            return x.reshape(len(x), 1, -1)

        def backward(self, dout: Array) -> Array:
            return dout.reshape(len(dout), -1)

    if backend.name == "strict":
        pytest.skip("its arrays have no reshape")
    affine = affine_of(np.ones((6, 3)), np.zeros(3))
    for loss in LOSSES:
        network = Sequential([affine, Split()], loss())
        with pytest.raises(ValueError, match=rf"{loss.__name__}: x has shape \(N, 1, 3\)"):
            network.loss(np.ones((2, 6)), np.ones((2, 3)))


def test_one_output_with_softmax_names_the_loss_to_take(backend: Backend) -> None:
    with pytest.raises(ValueError, match=r"one output unit.*lastLayer = fastnn\.SigmoidWithLoss"):
        network_with(SoftmaxWithLoss, 1).loss(np.ones((2, 6)), [0, 1])


# As a part of a network


@pytest.mark.parametrize("loss", LOSSES)
def test_copies_files_and_moves(
    backend: Backend, loss: type[Loss], tmp_path: Path, rng: np.random.Generator
) -> None:
    x, t = rng.standard_normal((4, 6)), targets_for(loss, rng, 4, 3)
    network = network_with(loss)
    expected = network.loss(x, t)
    network.save(tmp_path / "network")
    for other in (
        network.copy(), copy.deepcopy(network), MultiLayerNet.load(tmp_path / "network"),
        network.copy().to("numpy"), network_with(loss).load(tmp_path / "network"),
    ):  # fmt: skip
        assert type(other.lastLayer) is loss
        assert other.lastLayer.backend is other.backend
        assert other.loss(x, t) == pytest.approx(expected, rel=1e-12)
    wrong = network_with(next(other for other in LOSSES if other is not loss))
    before = bits(wrong)
    with pytest.raises(ValueError, match=f"holds the layers Affine, Relu, Affine, {loss.__name__}"):
        wrong.load(tmp_path / "network")
    assert bits(wrong) == before


def test_a_loss_goes_where_its_network_is(backend: Backend) -> None:
    network = network_with(SoftmaxWithLoss)
    with fastnn.use_backend("numpy"):
        loss = MeanSquaredError()
    network.lastLayer = loss
    assert loss.backend is backend
    assert network.loss(np.ones((2, 6)), np.ones((2, 3))) > 0


def test_a_loss_derived_from_one(backend: Backend, rng: np.random.Generator) -> None:
    """It is called, in `fit` too, and its targets are checked as those of the loss."""

    class TwiceTheError(MeanSquaredError):
        def forward(self, x: Array, t: Array) -> Array:  # type: ignore[override]
            return 2 * super().forward(x, t)

        def backward(self, dout: float = 1) -> Array:
            return super().backward(2 * dout)

    x, t = rng.standard_normal((12, 6)), rng.standard_normal((12, 3))
    network, plain = network_with(TwiceTheError), network_with(MeanSquaredError)
    assert network.loss(x, t) == pytest.approx(2 * plain.loss(x, t))
    with pytest.raises(ValueError, match="TwiceTheError needs finite targets"):
        network.loss(x, changed(t, np.nan, (1, 1)))
    options: dict[str, Any] = {"batch_size": 4, "seed": 0, "progress": False}
    found = fastnn.fit(network, x, t, optimizer=fastnn.SGD(0.05), **options).losses
    right = fastnn.fit(plain, x, t, optimizer=fastnn.SGD(0.1), **options).losses
    np.testing.assert_allclose(found, 2 * np.array(right))
