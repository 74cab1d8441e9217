"""`predict_proba` and `predict_classes`: what scores mean, as the loss says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import MeanSquaredError, Sequential, SigmoidWithLoss, SoftmaxWithLoss, TwoLayerNet
from fastnn.backends import Backend
from fastnn.nn import sequential
from fastnn.nn.loss import Loss
from tests.helpers.layers import SquaredError
from tests.helpers.problems import Batch, relative_error


def with_loss(loss: Any, outputs: int = 4, dtype: str = "float32") -> Sequential:
    network = TwoLayerNet(12, 6, outputs, 0.5, seed=3, dtype=dtype)
    network.lastLayer = loss()
    return network


def in_float64(network: Sequential, x: Any) -> Any:
    return fastnn.to_numpy(network.copy().astype("float64").predict(x))


def test_softmax(backend: Backend, batch: Batch, dtype: str) -> None:
    network = with_loss(SoftmaxWithLoss, dtype=dtype)
    y = network.predict_proba(batch.x)
    assert backend.owns(y)
    scores = in_float64(network, batch.x)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    assert relative_error(y, e / e.sum(axis=1, keepdims=True)) < (
        1e-12 if dtype == "float64" else 2e-6
    )
    assert fastnn.to_numpy(y).dtype == dtype
    classes = network.predict_classes(batch.x)
    assert backend.owns(classes)
    assert fastnn.to_numpy(classes).dtype == np.int64
    np.testing.assert_array_equal(fastnn.to_numpy(classes), scores.argmax(axis=1))
    assert network.accuracy(batch.x, classes) == 1


def test_sigmoid(backend: Backend, batch: Batch) -> None:
    several = with_loss(SigmoidWithLoss)
    scores = in_float64(several, batch.x)
    assert relative_error(several.predict_proba(batch.x), 1 / (1 + np.exp(-scores))) < 2e-6
    classes = several.predict_classes(batch.x)
    np.testing.assert_array_equal(fastnn.to_numpy(classes), scores > 0)
    assert several.accuracy(batch.x, classes) == 1
    one = with_loss(SigmoidWithLoss, outputs=1)
    assert one.predict_proba(batch.x).shape == (7, 1)
    classes = one.predict_classes(batch.x)
    assert classes.shape == (7,)
    np.testing.assert_array_equal(fastnn.to_numpy(classes), in_float64(one, batch.x)[:, 0] > 0)
    assert one.accuracy(batch.x, classes) == 1


@pytest.mark.parametrize(
    ("loss", "outputs", "shapes"),
    [
        (SoftmaxWithLoss, 4, [(4,), ()]),
        (SigmoidWithLoss, 4, [(4,), (4,)]),
        (SigmoidWithLoss, 1, [(1,), ()]),
    ],
)
def test_one_sample(
    backend: Backend, batch: Batch, loss: Any, outputs: int, shapes: list[tuple[int, ...]]
) -> None:
    network = with_loss(loss, outputs)
    for method, shape in zip((network.predict_proba, network.predict_classes), shapes, strict=True):
        one, several = method(batch.x[2]), method(batch.x[2:3])
        assert tuple(one.shape) == shape
        np.testing.assert_array_equal(fastnn.to_numpy(one), fastnn.to_numpy(several)[0])


def test_numbers_have_neither(backend: Backend, batch: Batch) -> None:
    network = with_loss(MeanSquaredError)
    with pytest.raises(TypeError, match=r"no probabilities: there is no predict_proba; .*predict"):
        network.predict_proba(batch.x)
    with pytest.raises(TypeError, match=r"no classes: there is no predict_classes; .*predict"):
        network.predict_classes(batch.x)


def test_a_loss_of_your_own(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = with_loss(SquaredError)
    with pytest.raises(TypeError, match=r"SquaredError, of your own, has no method probabilities"):
        network.predict_proba(batch.x)
    scores = network.predict(batch.x)
    np.testing.assert_array_equal(network.predict_classes(batch.x), scores.argmax(axis=1))


def test_one_output_of_a_loss_that_does_not_say_what_it_means(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = with_loss(SquaredError, 1)
    with pytest.raises(TypeError, match=r"one output tells no classes apart.*SquaredError"):
        network.predict_classes(batch.x)


class GradedError(SquaredError):
    """A loss of the user's own that says what its scores mean."""

    def probabilities(self, scores: Any) -> Any:
        return scores * 0 + 0.25

    def classes(self, scores: Any) -> Any:
        return scores.round().astype("int64")


def test_a_loss_of_your_own_that_says_what_scores_mean(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = with_loss(GradedError)
    np.testing.assert_array_equal(network.predict_proba(batch.x), np.full((7, 4), 0.25))
    scores = network.predict(batch.x)
    np.testing.assert_array_equal(network.predict_classes(batch.x), scores.round())


class Bare(Loss):
    """A loss that says nothing of what its scores mean."""


def test_a_loss_that_derives_from_fastnn_s(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = with_loss(Bare)
    with pytest.raises(TypeError, match="Bare does not say which probabilities"):
        network.predict_proba(batch.x)
    with pytest.raises(TypeError, match="Bare does not say which classes"):
        network.predict_classes(batch.x)


def test_in_pieces_of_rows(backend: Backend, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    network = with_loss(SoftmaxWithLoss)
    whole = fastnn.to_numpy(network.predict_proba(batch.x))
    classes = fastnn.to_numpy(network.predict_classes(batch.x))
    sizes: list[int] = []
    forward = Sequential._forward

    def counted(self: Sequential, x: Any, *modes: bool) -> Any:
        sizes.append(x.shape[0])
        return forward(self, x, *modes)

    monkeypatch.setattr(sequential, "CHUNK", 3)
    monkeypatch.setattr(Sequential, "_forward", counted)
    np.testing.assert_allclose(fastnn.to_numpy(network.predict_proba(batch.x)), whole, rtol=1e-6)
    np.testing.assert_array_equal(fastnn.to_numpy(network.predict_classes(batch.x)), classes)
    assert sizes == [3, 3, 1] * 2


def test_bad_input(backend: Backend) -> None:
    network = with_loss(SoftmaxWithLoss)
    for method in (network.predict_proba, network.predict_classes):
        with pytest.raises(ValueError, match="empty batch"):
            method(np.ones((0, 12)))
        with pytest.raises(ValueError, match="single number"):
            method(1.0)
        with pytest.raises(ValueError, match=r"expected x of shape \(N, 12\)"):
            method(np.ones((2, 11)))
        with pytest.raises(TypeError, match="x"):
            method(["a"])


def test_dlpack_is_that_of_the_engine_s_own_arrays(backend: Backend, batch: Batch) -> None:
    """Outputs are arrays of the engine's library, and other libraries take them as such."""
    network = with_loss(SoftmaxWithLoss)
    for output in (network.predict(batch.x), network.predict_proba(batch.x)):
        own = type(backend.xp.zeros(1, device=backend.device))
        assert type(output) is own
        assert type(output).__dlpack__ is own.__dlpack__
        if backend.on_host:
            assert np.shares_memory(np.from_dlpack(output), output)
        elif backend.name == "cupy":
            again = backend.xp.from_dlpack(output)
            assert again.data.ptr == output.data.ptr


def test_pytorch_takes_outputs_by_dlpack(batch: Batch) -> None:
    torch = pytest.importorskip("torch")
    with fastnn.use_backend("numpy"):
        y = with_loss(SoftmaxWithLoss).predict_proba(batch.x)
    tensor = torch.from_dlpack(y)
    np.testing.assert_array_equal(tensor.numpy(), y)
    tensor[0, 0] = 9
    assert y[0, 0] == 9
