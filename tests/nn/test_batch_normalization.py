"""Batch normalisation: the book's formulas, both modes, and state that goes with the network."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, BatchNormalization, Relu, Sequential, check_gradients, fit
from fastnn.backends import Backend
from fastnn.nn.storage import FORMAT
from tests.helpers.problems import Batch, affine_of, relative_error
from tests.helpers.saved_files import crafted

BOUNDS = {"float64": 1e-12, "float32": 2e-6}
Array = np.ndarray[Any, Any]


def layer_of(gamma: Any, beta: Any, *more: Any, **options: Any) -> BatchNormalization:
    """A layer with parameters that nobody else has, on the active backend."""
    backend = fastnn.get_backend()
    arrays = (backend.copy(backend.asarray(array)) for array in (gamma, beta))
    return BatchNormalization(*arrays, *more, **options)


def deep(dtype: str = "float64", **options: Any) -> Sequential:
    rng = np.random.default_rng(3)
    W1, W2 = rng.standard_normal((12, 6)) / 3, rng.standard_normal((6, 4))
    normalised = layer_of(
        np.linspace(0.5, 1.5, 6).astype(dtype), np.linspace(-0.1, 0.1, 6).astype(dtype), **options
    )
    return Sequential(
        [
            affine_of(W1.astype(dtype), np.zeros(6, dtype)),
            normalised,
            Relu(),
            affine_of(W2.astype(dtype), np.zeros(4, dtype)),
        ]
    )


def averages(network: Sequential) -> tuple[Array, Array]:
    layer = network.layers["BatchNormalization1"]
    return fastnn.to_numpy(layer.running_mean), fastnn.to_numpy(layer.running_var)


class BooksLayer:
    """The formulas of the book's chapter 6.3, in its order, in float64."""

    def __init__(self, gamma: Array, beta: Array, momentum: float) -> None:
        self.gamma, self.beta, self.momentum = gamma, beta, momentum
        self.running_mean = self.running_var = np.zeros_like(gamma)

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        if not train_flg:
            xc = x - self.running_mean
            xn: Array = xc / np.sqrt(self.running_var + 10e-7)
            y: Array = self.gamma * xn + self.beta
            return y
        mu = x.mean(axis=0)
        self.xc = x - mu
        var = np.mean(self.xc**2, axis=0)
        self.std = np.sqrt(var + 10e-7)
        self.xn = self.xc / self.std
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        out: Array = self.gamma * self.xn + self.beta
        return out

    def backward(self, dout: Array) -> tuple[Array, Array, Array]:
        N = len(dout)
        dxn = self.gamma * dout
        dxc = dxn / self.std
        dstd = -np.sum((dxn * self.xc) / (self.std * self.std), axis=0)
        dvar = 0.5 * dstd / self.std
        dxc += (2.0 / N) * self.xc * dvar
        dmu = np.sum(dxc, axis=0)
        return dxc - dmu / N, np.sum(self.xn * dout, axis=0), dout.sum(axis=0)


def floats(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype("float32").astype("float64")


@pytest.mark.parametrize(("samples", "units"), [(2, 1), (3, 4), (7, 5), (50, 33), (129, 17)])
def test_the_books_formulas(
    backend: Backend, dtype: str, samples: int, units: int, rng: np.random.Generator
) -> None:
    gamma, beta = floats(rng, units), floats(rng, units)
    layer = layer_of(gamma.astype(dtype), beta.astype(dtype), momentum=0.75)
    book = BooksLayer(gamma, beta, 0.75)
    for _ in range(3):
        x, dout = floats(rng, samples, units) + 2, floats(rng, samples, units)
        y = layer.forward(backend.asarray(x, dtype))
        dx = layer.backward(backend.asarray(dout, dtype))
        right = book.forward(x)
        right_dx, dgamma, dbeta = book.backward(dout)
        found = [y, layer.running_mean, layer.running_var, layer.dgamma, layer.dbeta]
        expected = [right, book.running_mean, book.running_var, dgamma, dbeta]
        if samples > 3:  # of two samples hardly anything is left of dx
            found.append(dx)
            expected.append(right_dx)
        for one, other in zip(found, expected, strict=True):
            assert backend.owns(one)
            assert one.dtype == getattr(backend.xp, dtype)
            assert relative_error(one, other) <= 10 * BOUNDS[dtype]
        evaluated = layer.forward(backend.asarray(x, dtype), train_flg=False)
        assert relative_error(evaluated, book.forward(x, train_flg=False)) <= 10 * BOUNDS[dtype]


def test_more_dimensions_are_units_too(backend: Backend, rng: np.random.Generator) -> None:
    gamma, beta = floats(rng, 12), floats(rng, 12)
    x, dout = floats(rng, 5, 3, 2, 2), floats(rng, 5, 3, 2, 2)
    flat, deep = layer_of(gamma, beta), layer_of(gamma, beta)
    for train_flg in (True, False):
        found = [
            deep.forward(backend.asarray(x), train_flg),
            deep.backward(backend.asarray(dout)),
        ]
        expected = [
            flat.forward(backend.asarray(x.reshape(5, 12)), train_flg),
            flat.backward(backend.asarray(dout.reshape(5, 12))),
        ]
        for one, other in zip(found, expected, strict=True):
            assert tuple(one.shape) == x.shape
            right = backend.to_numpy(other).reshape(x.shape)
            np.testing.assert_array_equal(backend.to_numpy(one), right)


@pytest.mark.parametrize("train_flg", [True, False])
def test_backward_is_the_derivative_in_either_mode(
    backend: Backend, train_flg: bool, rng: np.random.Generator
) -> None:
    layer = layer_of(floats(rng, 5), floats(rng, 5), 0.9, floats(rng, 5), 1 + floats(rng, 5) ** 2)
    x, dout = floats(rng, 7, 5), floats(rng, 7, 5)
    before = layer.running_mean, layer.running_var

    def loss(_: Any) -> float:
        layer.running_mean, layer.running_var = before
        y = layer.forward(backend.asarray(x), train_flg, for_backward=False)
        return float(np.sum(fastnn.to_numpy(y) * dout))

    layer.forward(backend.asarray(x), train_flg)
    dx = layer.backward(backend.asarray(dout))
    assert relative_error(dx, fastnn.numerical_gradient(loss, x)) < 1e-6
    for name in layer.parameters:
        numerical = fastnn.numerical_gradient(loss, getattr(layer, name))
        assert relative_error(getattr(layer, f"d{name}"), numerical) < 1e-6


def test_gradients_of_a_network(backend: Backend, batch: Batch) -> None:
    if backend.name == "strict":
        pytest.skip("the check runs on backends by name")
    network = deep()
    before = averages(network)
    report = check_gradients(network, batch.x, batch.t, backends=[backend.name])
    assert report.passed, str(report)
    for found, right in zip(averages(network), before, strict=True):
        np.testing.assert_array_equal(found, right)


def test_training_and_evaluation(backend: Backend, batch: Batch) -> None:
    network = deep()
    network.predict(batch.x)
    network.accuracy(batch.x, batch.t)
    network.loss(batch.x, batch.t)
    assert not np.any(averages(network))
    handed_out = network.layers["BatchNormalization1"].running_mean
    network.gradient(batch.x, batch.t)
    after_one = averages(network)
    assert np.all(after_one[1] > 0)
    assert not np.any(fastnn.to_numpy(handed_out))
    network.loss(batch.x, batch.t, train_flg=True)
    assert np.all(averages(network)[1] > after_one[1])
    scores = fastnn.to_numpy(network.predict(batch.x))
    one_by_one = [fastnn.to_numpy(network.predict(x)) for x in batch.x]
    np.testing.assert_allclose(one_by_one, scores, rtol=0, atol=1e-12)


def test_a_loss_in_evaluation_can_be_differentiated_by_hand(backend: Backend, batch: Batch) -> None:
    network = deep()
    network.loss(batch.x, batch.t, train_flg=True)
    network.loss(batch.x, batch.t)
    dout = network.lastLayer.backward(1)
    for layer in reversed(network.layers.values()):
        dout = layer.backward(dout)
    numerical = fastnn.numerical_gradient(
        lambda _: network.loss(batch.x, batch.t), network.params["W1"]
    )
    assert relative_error(network.layers["Affine1"].dW, numerical) < 1e-6


def test_arrays_are_those_that_were_handed_over(backend: Backend) -> None:
    gamma, beta = backend.asarray(np.ones(3)), backend.asarray(np.zeros(3))
    mean, var = backend.asarray(np.ones(3)), backend.asarray(np.ones(3))
    layer = BatchNormalization(gamma, beta, 0.5, mean, var)
    assert layer.gamma is gamma
    assert layer.beta is beta
    layer.forward(backend.asarray(np.zeros((2, 3))))
    np.testing.assert_array_equal(backend.to_numpy(layer.running_mean), [0.5] * 3)
    np.testing.assert_array_equal(backend.to_numpy(mean), [1] * 3)
    assert repr(layer) == f"BatchNormalization(3, float64, {backend.name})"


@pytest.mark.parametrize("kinds", [("float32", "float64"), ("float64", "float32")])
def test_parameters_of_two_dtypes(
    backend: Backend, kinds: tuple[str, str], rng: np.random.Generator
) -> None:
    gamma, beta, x, dout = floats(rng, 4), floats(rng, 4), floats(rng, 9, 4), floats(rng, 9, 4)
    layer = layer_of(gamma.astype(kinds[0]), beta.astype(kinds[1]))
    wide = layer_of(gamma, beta)
    for train_flg in (True, False):
        results = []
        for one in (layer, wide):
            y = one.forward(backend.asarray(x), train_flg)
            results.append((y, one.backward(backend.asarray(dout)), one.dgamma, one.dbeta))
        for found, right in zip(*results, strict=True):
            assert relative_error(found, right) < 2e-6
    assert [layer.dgamma.dtype, layer.dbeta.dtype] == [getattr(backend.xp, k) for k in kinds]


def test_float16_is_computed_in_float32() -> None:
    with fastnn.use_backend("numpy"), pytest.warns(fastnn.ParameterCopyWarning):
        layer = BatchNormalization(np.ones(2, "float16"), np.zeros(2, "float16"))
    assert layer.running_mean.dtype == layer.forward(np.eye(2)).dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (((np.ones(3), np.ones(2))), ValueError, r"gamma has shape \(3,\) and beta \(2,\)"),
        ((np.ones((3, 1)), np.ones((3, 1))), ValueError, r"expected \(D,\)"),
        ((np.ones(0), np.ones(0)), ValueError, "at least 1"),
        ((np.ones(3), "beta"), TypeError, "beta"),
        ((np.ones(3), np.ones(3), 1.0), ValueError, "momentum must be at least 0 and less than 1"),
        ((np.ones(3), np.ones(3), -0.1), ValueError, "momentum"),
        ((np.ones(3), np.ones(3), np.nan), ValueError, "momentum"),
        ((np.ones(3), np.ones(3), "0.9"), TypeError, "momentum must be a real number"),
        ((np.ones(3), np.ones(3), 0.9, np.ones(2)), ValueError, r"running_mean has shape \(2,\)"),
        ((np.ones(3), np.ones(3), 0.9, None, 1.0), ValueError, r"running_var has shape \(\)"),
    ],
)
def test_bad_arguments(arguments: Any, error: type[Exception], words: str) -> None:
    with fastnn.use_backend("numpy"), pytest.raises(error, match=words):
        BatchNormalization(*arguments)


def test_bad_input(backend: Backend) -> None:
    layer = layer_of(np.ones(3), np.zeros(3))
    for shape in [(2, 4), (0, 3), (3,)]:
        with pytest.raises(ValueError, match="expected x of shape"):
            layer.forward(backend.asarray(np.ones(shape)))
    with pytest.raises(ValueError, match=r"a batch of 1 sample .* take 2 samples or more"):
        layer.forward(backend.asarray(np.ones((1, 3))))
    assert not np.any(backend.to_numpy(layer.running_mean))
    layer.forward(backend.asarray(np.ones((1, 3))), train_flg=False)
    with pytest.raises(RuntimeError, match="call forward before backward"):
        layer_of(np.ones(3), np.zeros(3)).backward(backend.asarray(np.ones((2, 3))))
    with pytest.raises(ValueError, match="dout has shape"):
        layer.backward(backend.asarray(np.ones((2, 3))))
    with pytest.raises(ValueError, match="a batch of 1 sample"):
        deep().gradient(np.ones((1, 12)), np.zeros(1, int))


def test_nan_and_infinity_show(backend: Backend) -> None:
    layer = layer_of(np.ones(3), np.zeros(3))
    x = np.array([[1, np.nan, np.inf], [2, 1, 1], [3, 1, 1]])
    with np.errstate(invalid="ignore"):
        y = backend.to_numpy(layer.forward(backend.asarray(x)))
    assert np.isfinite(y[:, 0]).all()
    assert np.isnan(y[:, 1]).all()
    assert np.isnan(y[:, 2]).all()


def through_pickle(network: Sequential) -> Sequential:
    twin: Sequential = pickle.loads(pickle.dumps(network))
    return twin


@pytest.mark.parametrize("way", [Sequential.copy, copy.copy, copy.deepcopy, through_pickle])
def test_copies_have_the_state(
    backend: Backend, way: Callable[[Sequential], Sequential], batch: Batch
) -> None:
    if backend.name == "strict" and way in (copy.deepcopy, through_pickle):
        pytest.skip("arrays of array_api_strict are not pickled")
    network = deep()
    network.gradient(batch.x, batch.t)
    before, twin = averages(network), way(network)
    twin.gradient(batch.x, batch.t)
    for found, right in zip(averages(network), before, strict=True):
        np.testing.assert_array_equal(found, right)
    network.gradient(batch.x, batch.t)
    for found, right in zip(averages(twin), averages(network), strict=True):
        np.testing.assert_array_equal(found, right)


def test_state_goes_where_the_network_goes(backend: Backend, batch: Batch) -> None:
    network = deep()
    network.gradient(batch.x, batch.t)
    before = averages(network)
    network.to("numpy")
    for found, right in zip(averages(network), before, strict=True):
        np.testing.assert_array_equal(found, right)
    network.to(backend).astype("float32")
    layer = network.layers["BatchNormalization1"]
    for array in (layer.running_mean, layer.running_var):
        assert backend.owns(array)
        assert array.dtype == backend.xp.float32
    assert network.dtype == "float32"
    wide = deep("float32", running_mean=np.ones(6), running_var=np.ones(6))
    assert wide.dtype == "float32"
    assert list(network.params) == ["W1", "b1", "gamma1", "beta1", "W2", "b2"]


def test_files_have_the_state(backend: Backend, dtype: str, batch: Batch, tmp_path: Path) -> None:
    path = tmp_path / "network"
    network = deep(dtype, momentum=0.75)
    network.gradient(batch.x, batch.t)
    network.save(path)
    for loaded in (Sequential.load(path), deep(dtype, momentum=0.75).load(path)):
        assert loaded.layers["BatchNormalization1"].momentum == 0.75
        for found, right in zip(averages(loaded), averages(network), strict=True):
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, right)
        np.testing.assert_array_equal(
            backend.to_numpy(loaded.predict(batch.x)), backend.to_numpy(network.predict(batch.x))
        )
        loaded.gradient(batch.x, batch.t)
        assert np.any(averages(loaded)[0] != averages(network)[0])
    with pytest.raises(ValueError, match=r"BatchNormalization\(momentum=0.75\).*momentum=0.9"):
        deep(dtype).load(path)


class Own(BatchNormalization):
    """A layer of the user's own with state."""


def test_layers_that_derive_from_it_are_saved_with_their_state(
    batch: Batch, tmp_path: Path
) -> None:
    def network() -> Sequential:
        layer = Own(np.ones(6), np.zeros(6))
        return Sequential([affine_of(np.eye(12, 6), np.zeros(6)), layer])

    trained = network()
    trained.gradient(batch.x, batch.t)
    trained.save(tmp_path / "network")
    with pytest.raises(ValueError, match=r"layers of your own \(Own\)"):
        Sequential.load(tmp_path / "network")
    loaded = network().load(tmp_path / "network")
    right = fastnn.to_numpy(trained.layers["Own1"].running_var)
    np.testing.assert_array_equal(fastnn.to_numpy(loaded.layers["Own1"].running_var), right)


def test_files_of_a_class_that_was_the_users_own(batch: Batch, tmp_path: Path) -> None:
    """Before fastnn had a layer of this name, networks of the book's class were saved."""

    class BatchNormalization:
        parameters = ("gamma", "beta")

        def __init__(self) -> None:
            self.gamma, self.beta = np.ones(6), np.zeros(6)

        def forward(self, x: Any) -> Any:
            return x * self.gamma + self.beta

        def backward(self, dout: Any) -> Any:
            raise NotImplementedError

    rng, path = np.random.default_rng(0), tmp_path / "network"
    arrays = {
        "W1": rng.random((12, 6)), "b1": rng.random(6), "gamma1": rng.random(6),
        "beta1": rng.random(6),
    }  # fmt: skip
    layers = [["Affine1", "Affine"], ["BatchNormalization1", "BatchNormalization"]]
    path.write_bytes(crafted(arrays, {"layers": layers, "last_layer": "SoftmaxWithLoss"}))
    with fastnn.use_backend("numpy"):
        network = Sequential([Affine(np.ones((12, 6)), np.zeros(6)), BatchNormalization()])
        network.load(path)
        for name, array in network.params.items():
            np.testing.assert_array_equal(array, arrays[name])
        with pytest.raises(ValueError, match=r"layers of your own \(BatchNormalization\)"):
            Sequential.load(path)
        network.save(path)
        network.load(path)
        with pytest.raises(ValueError, match=r"layers of your own \(BatchNormalization\)"):
            Sequential.load(path)
    assert FORMAT.encode() in path.read_bytes()


LAYERS = [["A", "Affine"], ["B", "BatchNormalization"]]
GOOD = {
    "W1": np.ones((3, 2)), "b1": np.ones(2), "gamma1": np.ones(2), "beta1": np.ones(2),
    "B.running_mean": np.ones(2), "B.running_var": np.ones(2),
}  # fmt: skip


@pytest.mark.parametrize(
    ("arrays", "numbers"),
    [
        ({"gamma1": np.ones(3)}, {"B": {"momentum": 0.9}}),
        ({"B.running_var": np.ones((2, 1))}, {"B": {"momentum": 0.9}}),
        ({name: np.ones(3) for name in list(GOOD)[2:]}, {"B": {"momentum": 0.9}}),
        ({"B.other": np.ones(2)}, {"B": {"momentum": 0.9}}),
        ({}, {"B": {"momentum": 1.0}}),
        ({}, {"B": {"momentum": "0.9"}}),
        ({}, {"B": {"momentum": True}}),
        ({}, {"B": {"momentum": 0.9, "more": 1}}),
        ({}, {"B": {"momentum": 0.9}, "C": {}}),
        ({}, {"B": {}}),
        ({}, {}),
        ({}, {"B": 0.9}),
        ({}, [0.9]),
        ({}, None),
    ],
)
def test_a_file_that_cannot_be_is_refused(arrays: Any, numbers: Any, tmp_path: Path) -> None:
    path = tmp_path / "network"
    described = {"layers": LAYERS, "last_layer": "SoftmaxWithLoss"}
    path.write_bytes(crafted(GOOD, {**described, "numbers": {"B": {"momentum": 0.9}}}))
    assert Sequential.load(path).predict(np.ones((2, 3))).shape == (2, 2)
    path.write_bytes(crafted({**GOOD, **arrays}, {**described, "numbers": numbers}))
    with pytest.raises(fastnn.CorruptFileError, match="network"):
        Sequential.load(path)


def test_pytorch_says_the_same(dtype: str, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    units, samples = 7, 20
    gamma, beta = floats(rng, units), floats(rng, units)
    theirs = torch.nn.BatchNorm1d(units, eps=1e-6, momentum=0.25, dtype=getattr(torch, dtype))
    with torch.no_grad():
        theirs.weight.copy_(torch.from_numpy(gamma))
        theirs.bias.copy_(torch.from_numpy(beta))
        theirs.running_var.zero_()
    with fastnn.use_backend("numpy"):
        ours = layer_of(gamma.astype(dtype), beta.astype(dtype), momentum=0.75)
        for _ in range(5):
            x, dout = (floats(rng, samples, units).astype(dtype) for _ in range(2))
            given = torch.from_numpy(x).requires_grad_()
            y = theirs(given)
            y.backward(torch.from_numpy(dout))
            pairs = [
                (ours.forward(x), y.detach()),
                (ours.backward(dout), given.grad),
                (ours.dgamma, theirs.weight.grad),
                (ours.dbeta, theirs.bias.grad),
                (ours.running_mean, theirs.running_mean),
                # which follows the unbiased variance there
                (ours.running_var, theirs.running_var * ((samples - 1) / samples)),
            ]
            for found, right in pairs:
                assert relative_error(found, right.numpy()) <= 10 * BOUNDS[dtype]
            theirs.zero_grad()


def test_fit_follows_the_book(backend: Backend, batch: Batch) -> None:
    """The averages that `fit` leaves are those of its batches, and the losses are the book's."""
    x, t = Batch(40, 12, 4).x, Batch(40, 12, 4).t
    network = deep()
    shown = []

    def look(network: Sequential, _: Any) -> None:
        shown.append((network.layers["BatchNormalization1"].running_mean, averages(network)[0]))

    history = fit(
        network, x, t, epochs=3, batch_size=8, seed=0, progress=False, callbacks=[look],
        optimizer=fastnn.SGD(0.1),
    )  # fmt: skip
    twin, order, losses = deep(), np.random.default_rng(0), []
    for _ in range(3):
        for rows in order.permutation(40).reshape(5, 8):
            losses.append(twin.copy().loss(x[rows], t[rows], train_flg=True))
            fastnn.SGD(0.1).update(twin.params, twin.gradient(x[rows], t[rows]))
    np.testing.assert_allclose(history.losses, losses, rtol=1e-9)
    for found, right in zip(averages(network), averages(twin), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-9)
    for array, content in shown:
        np.testing.assert_array_equal(fastnn.to_numpy(array), content)


def test_a_variance_is_not_negative(backend: Backend) -> None:
    variance = np.array([1.0, 0.0, -0.5])
    ones = backend.asarray(np.ones(3))
    with pytest.raises(ValueError, match=r"running_var\[2\] is -0\.5: a variance is not negative"):
        BatchNormalization(ones, ones, running_mean=-ones, running_var=variance)
    layer = BatchNormalization(ones, ones, running_mean=-ones, running_var=np.abs(variance))
    np.testing.assert_array_equal(backend.to_numpy(layer.running_var), [1, 0, 0.5])


def test_averages_that_do_not_fit_are_refused(backend: Backend) -> None:
    """Rather than read beyond their end."""
    layer = layer_of(np.ones(300), np.zeros(300))
    x, layer.running_mean = backend.asarray(np.ones((4, 300))), backend.asarray(np.ones(3))
    for training in (True, False):
        with pytest.raises(ValueError, match=r"shape|broadcast"):
            layer.forward(x, training)
