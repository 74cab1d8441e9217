"""Dropout: the book's formulas, and masks that are the same wherever they are drawn."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Dropout, Relu, Sequential, check_gradients
from fastnn.backends import Backend
from tests.helpers.primitives import Specification
from tests.helpers.problems import Batch, affine_of, relative_error
from tests.helpers.saved_files import crafted

Array = np.ndarray[Any, Any]


def deep(*between: Any, dtype: str = "float64") -> Sequential:
    """Two Affine layers and ReLU, and these layers behind it."""
    rng = np.random.default_rng(3)
    W1, W2 = rng.standard_normal((12, 6)) / 3, rng.standard_normal((6, 4))
    b1, b2 = rng.standard_normal(6), rng.standard_normal(4)
    first, last = (affine_of(W.astype(dtype), b.astype(dtype)) for W, b in ((W1, b1), (W2, b2)))
    return Sequential([first, Relu(), *between, last])


def mask_of(layer: Dropout, shape: tuple[int, ...], draw: int) -> Array:
    """The mask by the specification."""
    x, spec = np.ones(shape), Specification()
    _, mask = spec.dropout(x, draw, ratio=layer.ratio, key=layer.key)
    return np.asarray(mask)


@pytest.mark.parametrize("shape", [(7, 5), (5, 3, 2, 2), (4,), (1, 1)])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.5, 0.99])
def test_the_books_formulas(
    backend: Backend, dtype: str, ratio: float, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    layer = Dropout(ratio, seed=1)
    x, dout = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    for draw in range(3):
        mask = mask_of(layer, shape, draw)
        y = layer.forward(backend.asarray(x))
        assert backend.owns(y)
        assert y.dtype == getattr(backend.xp, dtype)
        np.testing.assert_array_equal(backend.to_numpy(y), x * mask)
        np.testing.assert_array_equal(backend.to_numpy(layer.mask), mask)
        dx = layer.backward(backend.asarray(dout))
        np.testing.assert_array_equal(backend.to_numpy(dx), dout * mask)
        y = layer.forward(backend.asarray(x), train_flg=False)
        np.testing.assert_allclose(backend.to_numpy(y), x * (1 - ratio), rtol=1e-6)
        dx = layer.backward(backend.asarray(dout))
        np.testing.assert_allclose(backend.to_numpy(dx), dout * (1 - ratio), rtol=1e-6)
    assert layer.draws == 3


def test_a_unit_is_dropped_by_its_place(backend: Backend) -> None:
    """In a batch of any size, and of whatever shape a sample is."""
    x = backend.asarray(np.ones((20, 12)))
    masks = []
    for some in (x, x[:7, :], backend.xp.reshape(x, (20, 3, 4))):
        layer = Dropout(0.4, seed=5)
        layer.forward(some)
        masks.append(backend.to_numpy(layer.mask))
    np.testing.assert_array_equal(masks[0][:7], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2].reshape(20, 12))


def test_seeds(backend: Backend) -> None:
    def masks(**options: Any) -> bytes:
        layer = Dropout(**options)
        found = []
        for _ in range(2):
            layer.forward(backend.asarray(np.ones((9, 9))))
            found.append(backend.to_numpy(layer.mask).tobytes())
        assert found[0] != found[1]
        return b"".join(found)

    assert masks(seed=1) == masks(seed=1)
    assert len({masks(), masks(), masks(seed=0), masks(seed=1)}) == 4
    assert masks(seed=np.random.default_rng(1)) == masks(seed=1)
    for wrong in (-1, 0.5, "1"):
        with pytest.raises((TypeError, ValueError), match="seed must be a whole number"):
            Dropout(seed=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("draws", [5, 2**40])
def test_draws_may_be_set_and_held(backend: Backend, draws: int) -> None:
    x = backend.asarray(np.ones((5, 6)))
    for given in (draws, backend.asarray(np.array(draws))):
        layer = Dropout(0.5, seed=2)
        layer.draws, layer.held = given, True
        for _ in range(2):
            layer.forward(x)
            np.testing.assert_array_equal(
                backend.to_numpy(layer.mask), mask_of(layer, (5, 6), draws)
            )
        layer.held = False
        layer.forward(x)
        layer.forward(x)
        assert int(fastnn.to_numpy(layer.draws)) == draws + 2
        assert int(fastnn.to_numpy(given)) == draws
        np.testing.assert_array_equal(
            backend.to_numpy(layer.mask), mask_of(layer, (5, 6), draws + 1)
        )


@pytest.mark.parametrize(
    ("ratio", "error", "words"),
    [
        (1.0, ValueError, "ratio must be at least 0 and less than 1, got 1.0"),
        (1.5, ValueError, "ratio must be at least 0 and less than 1"),
        (-0.1, ValueError, "ratio"),
        (np.nan, ValueError, "ratio"),
        (np.inf, ValueError, "ratio"),
        ("0.5", TypeError, "ratio must be a real number"),
        (None, TypeError, "ratio must be a real number"),
        (True, TypeError, "ratio must be a real number"),
        ([0.5], TypeError, "ratio must be a real number"),
    ],
)
def test_bad_ratios(ratio: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Dropout(ratio)


def test_bad_input(backend: Backend) -> None:
    layer = Dropout()
    with pytest.raises(ValueError, match=r"expected \(N, ...\)"):
        layer.forward(backend.asarray(np.array(1.0)))
    with pytest.raises(RuntimeError, match="call forward before backward"):
        layer.backward(backend.asarray(np.ones((2, 3))))
    for train_flg in (True, False):
        layer.forward(backend.asarray(np.ones((2, 3))), train_flg)
        with pytest.raises(ValueError, match=r"dout has shape \(3, 3\)"):
            layer.backward(backend.asarray(np.ones((3, 3))))
    assert layer.draws == 1
    assert repr(layer) == f"Dropout(0.5, {backend.name})"


def test_numbers_of_other_kinds_and_sizes() -> None:
    with fastnn.use_backend("numpy"):
        layer = Dropout(0.5, seed=0)
        for kind, result in (("float16", "float32"), ("int64", "float64"), ("uint8", "float64")):
            for train_flg in (True, False):
                assert layer.forward(np.ones((2, 3), kind), train_flg).dtype == result
        x = np.array([[np.nan, np.inf, -np.inf] * 9])
        with np.errstate(invalid="ignore"):
            assert not np.isfinite(layer.forward(x)).any()  # a network that diverged looks so


def test_who_draws(backend: Backend, batch: Batch) -> None:
    network = deep(layer := Dropout(0.5, seed=1))
    network.predict(batch.x)
    network.accuracy(batch.x, batch.t)
    network.loss(batch.x, batch.t)
    network.numerical_gradient(batch.x, batch.t)
    assert layer.draws == 0
    network.gradient(batch.x, batch.t)
    assert layer.draws == 1
    losses = {network.loss(batch.x, batch.t, train_flg=True) for _ in range(5)}
    assert layer.draws == 6
    assert len(losses) > 1
    scores = fastnn.to_numpy(network.predict(batch.x))
    one_by_one = [fastnn.to_numpy(network.predict(x)) for x in batch.x]
    np.testing.assert_allclose(one_by_one, scores, rtol=0, atol=1e-12)


def test_the_numerical_gradient_has_the_mask_of_the_next_gradient(
    backend: Backend, batch: Batch
) -> None:
    rng = np.random.default_rng(3)
    layer, other = Dropout(0.5, seed=1), Dropout(0.2, seed=2)
    first = affine_of(rng.standard_normal((12, 2)), rng.standard_normal(2))
    last = affine_of(rng.standard_normal((2, 4)), rng.standard_normal(4))
    network = Sequential([first, Relu(), layer, other, last])
    for _ in range(2):
        numerical = network.numerical_gradient(batch.x, batch.t)
        for name, gradient in network.gradient(batch.x, batch.t).items():
            assert relative_error(gradient, numerical[name]) < 1e-6
    layer.held = other.held = True
    gradients = network.gradient(batch.x, batch.t)
    by_hand = fastnn.numerical_gradient(
        lambda _: network.loss(batch.x, batch.t, train_flg=True), network.params["W1"]
    )
    assert relative_error(gradients["W1"], by_hand) < 1e-6


def test_the_numerical_gradient_takes_few_products(
    monkeypatch: pytest.MonkeyPatch, batch: Batch
) -> None:
    """And is the one that is evaluated entry by entry."""
    with fastnn.use_backend("numpy"):
        network = deep(Dropout(0.5, seed=1), Relu(), Dropout(0.3, seed=2))
        first = Sequential([Dropout(0.4, seed=3), *network.layers.values(), Dropout(0.1, seed=4)])
        quick = first.numerical_gradient(batch.x, batch.t)
        monkeypatch.setattr("fastnn.nn.network_gradient._separable", lambda *network: False)
        literal = first.numerical_gradient(batch.x, batch.t)
    for name, expected in literal.items():
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(quick[name], expected, rtol=0, atol=1e-9)


def test_a_loss_in_evaluation_can_be_differentiated_by_hand(backend: Backend, batch: Batch) -> None:
    network = deep(Dropout(0.3, seed=1))
    network.gradient(batch.x, batch.t)
    network.loss(batch.x, batch.t)
    dout = network.lastLayer.backward(1)
    for layer in reversed(network.layers.values()):
        dout = layer.backward(dout)
    numerical = fastnn.numerical_gradient(
        lambda _: network.loss(batch.x, batch.t), network.params["W1"]
    )
    assert relative_error(network.layers["Affine1"].dW, numerical) < 1e-6


def test_gradients_of_a_network(backend: Backend, batch: Batch) -> None:
    if backend.name == "strict":
        pytest.skip("the check runs on backends by name")
    for layers in (
        [Dropout(0.5, seed=1)],
        [Dropout(0.2, seed=1), Relu(), Dropout(0.3, seed=2)],  # of zeros that are no kinks
    ):
        network = deep(*layers)
        report = check_gradients(network, batch.x, batch.t, backends=[backend.name])
        assert report.passed, str(report)
        assert [layer.draws for layer in layers if isinstance(layer, Dropout)] == [0] * (
            len(layers) // 2 + 1
        )
        assert not any(layer.held for layer in layers if isinstance(layer, Dropout))


def test_samples_at_a_kink_are_left_out_until_there_are_none(batch: Batch) -> None:
    """Fewer samples get other masks, and one all of whose units are dropped may come to a kink."""
    with fastnn.use_backend("numpy"):
        rng = np.random.default_rng(0)
        first = affine_of(rng.standard_normal((12, 3)), rng.standard_normal(3))
        second = affine_of(rng.standard_normal((3, 3)), np.zeros(3))
        last = affine_of(rng.standard_normal((3, 4)), np.zeros(4))
        layers = [first, Relu(), Dropout(0.5, seed=1), second, Relu(), last]
        more = Batch(40, 12, 4)
        report = check_gradients(Sequential(layers), more.x, more.t, backends=["numpy"])
    assert report.passed, str(report)
    assert 0 < report.left_out < 40


def through_pickle(network: Sequential) -> Sequential:
    twin: Sequential = pickle.loads(pickle.dumps(network))
    return twin


@pytest.mark.parametrize("way", [Sequential.copy, copy.copy, copy.deepcopy, through_pickle])
def test_copies_draw_what_comes_next(
    backend: Backend, way: Callable[[Sequential], Sequential], batch: Batch
) -> None:
    if backend.name == "strict" and way in (copy.deepcopy, through_pickle):
        pytest.skip("arrays of array_api_strict are not pickled")
    network = deep(Dropout(0.5, seed=1))
    network.gradient(batch.x, batch.t)
    layer = network.layers["Dropout1"]
    for draws in (layer.draws, backend.asarray(np.array(1))):
        layer.draws = draws
        twin = way(network)
        right = network.gradient(batch.x, batch.t)
        for name, gradient in twin.gradient(batch.x, batch.t).items():
            np.testing.assert_array_equal(fastnn.to_numpy(gradient), fastnn.to_numpy(right[name]))


def test_draws_go_where_the_network_goes(backend: Backend, batch: Batch) -> None:
    network = deep(layer := Dropout(0.5, seed=1))
    layer.draws = backend.asarray(np.array(7))
    network.to("numpy")
    assert type(layer.draws) is np.ndarray
    assert layer.draws == 7
    network.to(backend).astype("float32")
    assert backend.owns(layer.draws)
    assert layer.draws.dtype == backend.xp.int64
    network.gradient(batch.x, batch.t)
    np.testing.assert_array_equal(backend.to_numpy(layer.mask), mask_of(layer, (7, 6), 7))


def test_files_say_what_is_drawn_next(backend: Backend, batch: Batch, tmp_path: Path) -> None:
    path = tmp_path / "network"
    network = deep(Dropout(0.25, seed=1))
    network.gradient(batch.x, batch.t)
    network.save(path)
    right = network.gradient(batch.x, batch.t)
    for loaded in (Sequential.load(path), deep(Dropout(0.25)).load(path)):
        assert loaded.layers["Dropout1"].ratio == 0.25
        assert loaded.layers["Dropout1"].draws == 1
        for name, gradient in loaded.gradient(batch.x, batch.t).items():
            np.testing.assert_array_equal(fastnn.to_numpy(gradient), fastnn.to_numpy(right[name]))
    with pytest.raises(ValueError, match=r"Dropout\(ratio=0.25\).*Dropout\(ratio=0.5\)"):
        deep(Dropout()).load(path)


GOOD = {"ratio": 0.5, "key": 3, "draws": 4}


@pytest.mark.parametrize(
    "numbers",
    [
        {"ratio": 1.0}, {"ratio": "a half"}, {"key": -1}, {"key": 0.5}, {"key": 2**70},
        {"draws": -1}, {"draws": 1.5}, {"draws": None}, {"more": 1},
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_is_refused(numbers: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "network"
    arrays = {"W1": np.ones((3, 2)), "b1": np.ones(2)}
    described = {"layers": [["A", "Affine"], ["D", "Dropout"]], "last_layer": "SoftmaxWithLoss"}
    path.write_bytes(crafted(arrays, {**described, "numbers": {"D": GOOD}}))
    assert Sequential.load(path).layers["D"].key == 3
    path.write_bytes(crafted(arrays, {**described, "numbers": {"D": {**GOOD, **numbers}}}))
    with pytest.raises(fastnn.CorruptFileError, match="network"):
        Sequential.load(path)


def test_files_of_a_class_that_was_the_users_own(tmp_path: Path) -> None:
    """Before fastnn had a layer of this name, networks of the book's class were saved."""

    class Dropout:
        def forward(self, x: Any, train_flg: bool = True) -> Any:
            return x

        def backward(self, dout: Any) -> Any:
            return dout

    path, arrays = tmp_path / "network", {"W1": np.full((3, 2), 3.0), "b1": np.ones(2)}
    layers = [["Affine1", "Affine"], ["Dropout1", "Dropout"]]
    path.write_bytes(crafted(arrays, {"layers": layers, "last_layer": "SoftmaxWithLoss"}))
    with fastnn.use_backend("numpy"):
        network = Sequential([affine_of(np.ones((3, 2)), np.zeros(2)), Dropout()]).load(path)
        np.testing.assert_array_equal(network.params["W1"], arrays["W1"])
        with pytest.raises(ValueError, match=r"layers of your own \(Dropout\)"):
            Sequential.load(path)
