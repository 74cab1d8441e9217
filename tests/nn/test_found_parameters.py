"""Layers that do not name their parameters, as the book's: they are found, or an error says why."""

from __future__ import annotations

import copy
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Relu, Sequential, check_gradients, fit
from fastnn.backends import Backend
from tests.helpers.problems import Batch, affine_of


class BookAffine:
    """Word for word the book's."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W = W
        self.b = b
        self.x: Any = None
        self.original_x_shape: Any = None
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: Any) -> Any:
        self.original_x_shape = x.shape
        x = x.reshape(x.shape[0], -1)
        self.x = x
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout: Any) -> Any:
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx.reshape(*self.original_x_shape)


class NamedAffine(BookAffine):
    parameters = ("W", "b")


class Keeping:
    """Keeps all that one may keep, and trains gamma and beta; for arrays of any backend."""

    def __init__(self, gamma: Any, beta: Any) -> None:
        self.gamma, self.beta = gamma, beta
        self.eps, self.deps = 1e-7, 1e-7
        self.grid, self.dgrid = gamma + 1, gamma + 2  # constants

    def forward(self, x: Any) -> Any:
        self.x = x
        self.mu = x[:1, :] + 0
        self.out = x * self.gamma + self.beta
        return self.out

    def backward(self, dout: Any) -> Any:
        self.dout, self.dmu = dout, dout[:1, :] + 0
        self.dgamma = (dout * self.x)[0, :] * 0 + _sum(dout * self.x)
        self.dbeta = _sum(dout)
        self.dx = dout * self.gamma
        return self.dx


def _sum(x: Any) -> Any:
    total = x[0, :]
    for row in range(1, x.shape[0]):
        total = total + x[row, :]
    return total


class Into:
    """Writes everything into arrays that it has made once."""

    def __init__(self, gamma: Any) -> None:
        self.gamma = gamma
        self.dgamma = np.zeros_like(gamma)
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        if self.x is None or self.x.shape != x.shape:
            self.x, self.dx = np.empty_like(x), np.empty_like(x)
            self.out, self.dout = np.empty_like(x), np.empty_like(x)
        self.x[...] = x
        self.out[...] = x * self.gamma
        return self.out

    def backward(self, dout: Any) -> Any:
        self.dout[...] = dout
        self.dgamma[...] = (dout * self.x).sum(axis=0)
        self.dx[...] = dout * self.gamma
        return self.dx


class Normalised:
    """The book's batch normalisation, in short, with everything kept."""

    def __init__(self, gamma: Any, beta: Any) -> None:
        self.gamma, self.beta = gamma, beta
        self.running_mean = np.zeros(len(gamma))

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        mu = x.mean(axis=0)
        self.xc = x - (mu if train_flg else self.running_mean)
        self.std = np.sqrt((self.xc**2).mean(axis=0) + 1e-5)
        self.xn = self.xc / self.std
        if train_flg:
            self.running_mean = 0.9 * self.running_mean + 0.1 * mu
        return self.gamma * self.xn + self.beta

    def backward(self, dout: Any) -> Any:
        self.dbeta, self.dgamma = dout.sum(axis=0), (self.xn * dout).sum(axis=0)
        self.dxn = self.gamma * dout
        self.dxc = self.dxn / self.std
        self.dstd = -np.sum((self.dxn * self.xc) / self.std**2, axis=0)
        self.dxc = self.dxc + self.xc * self.dstd / self.std / len(dout)
        return self.dxc - self.dxc.mean(axis=0)


class Dropout:
    """The book's."""

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        self.mask = np.random.rand(*x.shape) > 0.3  # noqa: NPY002
        random.random()
        return x * self.mask if train_flg else x * 0.7

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


def arrays(dtype: str = "float64") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = {"W1": (12, 6), "b1": (6,), "W2": (6, 4), "b2": (4,)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def book(kind: Any = BookAffine, dtype: str = "float64") -> Sequential:
    a = arrays(dtype)
    return Sequential([kind(a["W1"], a["b1"]), Relu(), kind(a["W2"], a["b2"])])


@pytest.fixture
def on_numpy() -> Any:
    with fastnn.use_backend("numpy") as backend:
        yield backend


def same(one: Sequential, other: Sequential) -> None:
    assert list(one.params) == list(other.params)
    for name in one.params:
        assert one.params[name].dtype == other.params[name].dtype
        np.testing.assert_array_equal(one.params[name], other.params[name])


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("first", ["gradient", "numerical_gradient", "fit", "check"])
def test_the_books_own_layers_are_as_if_they_were_named(
    batch: Batch, first: str, dtype: str, tmp_path: Path
) -> None:
    network, named = book(dtype=dtype), book(NamedAffine, dtype)
    assert network.dtype == named.dtype == dtype
    assert list(network.params) == []
    if first == "check":
        reports = [check_gradients(n, batch.x, batch.t, backends="numpy") for n in (network, named)]
        assert reports[0].passed
        quantities = [{(c.part[-7:], c.quantity) for c in report.comparisons} for report in reports]
        assert quantities[0] == quantities[1]
    elif first == "fit":
        histories = [
            fit(n, batch.x, batch.t, epochs=3, batch_size=3, seed=0, progress=False)
            for n in (network, named)
        ]
        assert histories[0].losses == histories[1].losses
    else:
        found, right = (getattr(n, first)(batch.x, batch.t) for n in (network, named))
        assert list(found) == ["W1", "b1", "W2", "b2"]
        for name in right:
            np.testing.assert_array_equal(found[name], right[name])
    same(network, named)
    assert network.layers["BookAffine1"].parameters == ("W", "b")
    before = network.loss(batch.x, batch.t)
    SGD(0.01).update(network.params, network.gradient(batch.x, batch.t))
    assert network.loss(batch.x, batch.t) < before
    network.save(tmp_path / "network")
    same(book(dtype=dtype).load(tmp_path / "network"), network)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), network.copy()):
        same(twin, network)


@pytest.mark.usefixtures("on_numpy")
def test_the_names_a_file_or_a_dictionary_gives(batch: Batch, tmp_path: Path) -> None:
    trained = book()
    fit(trained, batch.x, batch.t, batch_size=3, seed=0, progress=False)
    trained.save(tmp_path / "network")
    fresh = book()
    fresh.params = trained.params
    same(fresh, trained)
    with pytest.raises(ValueError, match=r"BookAffine.*make the network first"):
        Sequential.load(tmp_path / "network")
    other = book()
    with pytest.raises(KeyError, match="'W3'"):
        other.params = {**trained.params, "W3": 1}
    assert list(other.params) == []
    with pytest.raises(KeyError, match=r"of the layers 'BookAffine1' \(W, b\).*finds out"):
        other.params["W1"]


@pytest.mark.usefixtures("on_numpy")
def test_a_network_of_which_nothing_is_known_is_not_saved(batch: Batch, tmp_path: Path) -> None:
    network = book()
    with pytest.raises(ValueError, match=r"not saved: .*'BookAffine1' \(W, b\).*network.gradient"):
        network.save(tmp_path / "network")
    assert list(tmp_path.iterdir()) == []
    network.gradient(batch.x, batch.t)
    network.save(tmp_path / "network")


@pytest.mark.usefixtures("on_numpy")
def test_a_class_that_is_called_as_one_of_fastnns(batch: Batch, tmp_path: Path) -> None:
    kind = type("Affine", (BookAffine,), {})
    network = book(kind)
    network.gradient(batch.x, batch.t)
    network.save(tmp_path / "network")
    with pytest.raises(ValueError, match="layers of your own"):
        Sequential.load(tmp_path / "network")
    same(book(kind).load(tmp_path / "network"), network)


def test_inputs_outputs_and_what_else_is_kept_are_no_parameters(
    backend: Backend, batch: Batch
) -> None:
    def make() -> Sequential:
        gamma, beta = (backend.asarray(np.full(5, fill)) for fill in (2.0, 1.0))
        rng = np.random.default_rng(1)
        return Sequential(
            [
                affine_of(rng.standard_normal((12, 5)), np.ones(5)),
                Keeping(gamma, beta),
                affine_of(rng.standard_normal((5, 4)), np.zeros(4)),
            ]
        )

    expected = ["W1", "b1", "gamma1", "beta1", "W2", "b2"]
    for _ in range(2):  # also if it has kept a batch before
        network = make()
        network.loss(batch.x, batch.t)
        assert list(network.params) == ["W1", "b1", "W2", "b2"]
        assert list(network.gradient(batch.x, batch.t)) == expected
        assert list(network.gradient(batch.x, batch.t)) == expected
        for samples in (1, 2, 5):
            network = make()
            assert list(network.gradient(batch.x[:samples], batch.t[:samples])) == expected
    for x in (np.zeros_like(batch.x), np.ones_like(batch.x)):
        assert list(make().gradient(x, batch.t)) == expected
    network = make()
    before = backend.to_numpy(network.layers["Keeping1"].gamma).copy()
    fit(network, batch.x, batch.t, batch_size=7, progress=False)
    assert list(network.params) == expected
    assert np.any(backend.to_numpy(network.params["gamma1"]) != before)
    assert check_gradients(make(), batch.x, batch.t, backends=[backend.name]).passed


@pytest.mark.usefixtures("on_numpy")
def test_arrays_that_are_written_into(batch: Batch) -> None:
    network = Sequential([affine_of(np.eye(12)[:, :4], np.zeros(4)), Into(np.ones(4))])
    first = network.gradient(batch.x, batch.t)
    assert list(first) == ["W1", "b1", "gamma1"]
    numerical = network.numerical_gradient(batch.x, batch.t)
    np.testing.assert_allclose(first["gamma1"], numerical["gamma1"], atol=1e-7)


@pytest.mark.usefixtures("on_numpy")
def test_normalisation_and_dropout_of_the_book(batch: Batch) -> None:
    def make() -> Sequential:
        a = arrays()
        normalised = Normalised(np.ones(6), np.zeros(6))
        layers = [BookAffine(a["W1"], a["b1"]), normalised, Relu(), Dropout()]
        return Sequential([*layers, BookAffine(a["W2"], a["b2"])])

    def losses(network: Sequential) -> list[float]:
        np.random.seed(3)  # noqa: NPY002
        random.seed(3)
        history = fit(network, batch.x, batch.t, epochs=3, batch_size=3, seed=1, progress=False)
        return [*history.losses, float(np.random.rand()), random.random()]  # noqa: NPY002

    found, named = make(), make()
    for name, layer in named.layers.items():
        layer.parameters = ("W", "b") if "Affine" in name else ("gamma", "beta")
        if name in ("Relu1", "Dropout1"):
            layer.parameters = ()
    assert losses(found) == losses(named)
    same(found, named)
    assert list(found.params) == ["W1", "b1", "gamma1", "beta1", "W2", "b2"]
    np.testing.assert_array_equal(
        found.layers["Normalised1"].running_mean, named.layers["Normalised1"].running_mean
    )
    assert not hasattr(found.layers["Dropout1"], "parameters")


class Derived(fastnn.Layer):
    """Derives from fastnn's `Layer`, and forgets all but what it names nowhere."""

    def __init__(self, gamma: Any) -> None:
        super().__init__()
        self.gamma = gamma
        self.forget()

    def forget(self) -> None:
        self.x: Any = None
        self.dgamma: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.gamma

    def backward(self, dout: Any) -> Any:
        self.dgamma = (dout * self.x).sum(axis=0)
        return dout * self.gamma


class Scaled(Affine):
    """Adds a parameter to fastnn's Affine."""

    def __init__(self, W: Any, b: Any) -> None:
        super().__init__(W, b)
        self.alpha = np.ones(W.shape[1])

    def forward(self, x: Any, **mode: Any) -> Any:
        self.before = super().forward(x)
        return self.alpha * self.before

    def backward(self, dout: Any, **options: Any) -> Any:
        self.dalpha = (dout * self.before).sum(axis=0)
        return super().backward(dout * self.alpha, **options)


class Slots:
    __slots__ = ("dgamma", "gamma", "x")

    def __init__(self, gamma: Any) -> None:
        self.gamma = gamma

    forward, backward = Derived.forward, Derived.backward


class Number:
    """A parameter that is a number, as of PReLU."""

    def __init__(self, alpha: Any) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.alpha

    def backward(self, dout: Any) -> Any:
        self.dalpha = float((dout * self.x).sum())
        return dout * self.alpha


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (lambda: Derived(np.ones(4)), ["W1", "b1", "gamma1"]),
        (lambda: Scaled(np.eye(4), np.ones(4)), ["W1", "b1", "W2", "b2", "alpha1"]),
        (lambda: Number(2.0), ["W1", "b1", "alpha1"]),
        (lambda: Number(np.float64(2)), ["W1", "b1", "alpha1"]),
        (lambda: Number(np.full(1, 2.0)[0:1].reshape(())), ["W1", "b1", "alpha1"]),
    ],
)
def test_layers_of_all_kinds(batch: Batch, layer: Any, names: list[str]) -> None:
    network = Sequential([affine_of(np.eye(12)[:, :4], np.zeros(4)), layer()])
    gradients = network.gradient(batch.x, batch.t)
    assert list(gradients) == names
    numerical = network.numerical_gradient(batch.x, batch.t)
    for name in names:
        np.testing.assert_allclose(gradients[name], numerical[name], atol=1e-7)
    before = {name: array.copy() for name, array in network.params.items()}
    fit(network, batch.x, batch.t, batch_size=7, progress=False)
    assert all(np.any(network.params[name] != before[name]) for name in names)


@pytest.mark.usefixtures("on_numpy")
def test_a_layer_that_takes_no_attribute(batch: Batch) -> None:
    network = Sequential([affine_of(np.eye(12)[:, :4], np.zeros(4)), Slots(np.ones(4))])
    with pytest.raises(TypeError, match=r"Slots cannot be told its parameters.*\(\"gamma\",\)"):
        network.gradient(batch.x, batch.t)


class Replacing(Derived):
    """Makes another array of its parameter in each pass."""

    def forward(self, x: Any) -> Any:
        self.gamma = self.gamma + 0
        return super().forward(x)


class Changing(Derived):
    """Changes an array in place, as running statistics or weights that are clipped."""

    def forward(self, x: Any) -> Any:
        self.gamma *= 0.5
        return super().forward(x)


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("kind", [Replacing, Changing])
def test_what_is_in_doubt_has_to_be_said(batch: Batch, kind: Any) -> None:
    def make() -> Sequential:
        return Sequential([affine_of(np.eye(12)[:, :4], np.zeros(4)), kind(np.ones(4))])

    words = rf"'{kind.__name__}1'.* leaves dgamma beside gamma.*parameters = \(\"gamma\",\)"
    for call in (
        lambda n: n.gradient(batch.x, batch.t),
        lambda n: n.numerical_gradient(batch.x, batch.t),
        lambda n: fit(n, batch.x, batch.t, batch_size=7, progress=False),
        lambda n: check_gradients(n, batch.x, batch.t, backends="numpy"),
    ):
        with pytest.raises(TypeError, match=words):
            call(make())
    for names, expected in (((), ["W1", "b1"]), (("gamma",), ["W1", "b1", "gamma1"])):
        network = make()
        network.layers[f"{kind.__name__}1"].parameters = names
        assert list(network.gradient(batch.x, batch.t)) == expected


class Opaque:
    """Hides its gradients where nobody looks."""

    def __init__(self, W: Any) -> None:
        self.W = W

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W

    def backward(self, dout: Any) -> Any:
        self.grads = {"W": self.x.T @ dout}
        return dout @ self.W.T


@pytest.mark.usefixtures("on_numpy")
@pytest.mark.parametrize("layers", [[], [Relu()], [Opaque(np.ones((12, 4)))]])
def test_a_network_without_parameters(batch: Batch, layers: list[Any], tmp_path: Path) -> None:
    network = Sequential(layers)
    for epochs in (0, 1):
        with pytest.raises(ValueError, match=r"no parameters to train.*parameters = "):
            fit(network, batch.x, batch.t % 4, epochs=epochs, batch_size=7, progress=False)
    with pytest.raises(ValueError, match="no parameters to check"):
        check_gradients(network, batch.x, batch.t, backends="numpy")
    assert network.gradient(batch.x, batch.t) == {}
    if layers and isinstance(layers[0], Opaque):
        with pytest.raises(ValueError, match=r"not saved.*'Opaque1' \(W"):
            network.save(tmp_path / "network")
    else:
        network.save(tmp_path / "network")
        assert list(Sequential.load(tmp_path / "network").layers) == list(network.layers)


@pytest.mark.usefixtures("on_numpy")
def test_what_was_named_is_what_is_trained(batch: Batch) -> None:
    network = book(NamedAffine)
    network.layers["NamedAffine1"].parameters = ("W",)
    assert list(network.gradient(batch.x, batch.t)) == ["W1", "W2", "b1"]
    frozen = affine_of(np.eye(12)[:, :4], np.zeros(4))
    frozen.parameters = ("W",)  # type: ignore[assignment,misc]
    network = Sequential([frozen])
    fit(network, batch.x, batch.t, batch_size=3, progress=False)
    assert not frozen.b.any()
    with pytest.raises(TypeError, match=r"parameters is a method: name .* tuple, \('W',\)"):
        Sequential([type("Torch", (BookAffine,), {"parameters": lambda self: []})(1, 2)])


@pytest.mark.usefixtures("on_numpy")
def test_dtypes_of_layers_that_name_nothing(batch: Batch) -> None:
    a = arrays("float32")
    b1 = np.zeros(6)
    with pytest.warns(fastnn.ParameterCopyWarning, match="W1 .W of layer 'BookAffine1': float32"):
        network = Sequential(
            [BookAffine(a["W1"], b1), Relu(), BookAffine(a["W2"].copy(), np.zeros(4))]
        )
    assert network.dtype == "float64"
    assert network.layers["BookAffine1"].b is b1
    with pytest.warns(fastnn.ParameterCopyWarning, match="b1"):
        network.astype("float32")
    assert {g.dtype.name for g in network.gradient(batch.x, batch.t).values()} == {"float32"}
    assert {p.dtype.name for p in network.params.values()} == {"float32"}


def test_layers_that_name_nothing_move_with_their_network(backend: Backend, batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        keeping = Keeping(np.ones(4), np.zeros(4))
        network = Sequential([affine_of(np.ones((12, 4)), np.zeros(4)), keeping]).to(backend)
    gradients = network.gradient(batch.x, batch.t)
    assert list(gradients) == ["W1", "b1", "gamma1", "beta1"]
    assert all(map(backend.owns, gradients.values()))
    if not backend.on_host:
        gamma, layer = np.ones(4), affine_of(np.ones((12, 4)), np.zeros(4))
        keeping = Keeping(gamma, np.zeros(4))
        with pytest.warns(fastnn.ParameterCopyWarning, match="gamma1"):
            Sequential([layer, keeping])


class BookSigmoid:
    """Keeps its output, in which there is nothing to learn."""

    def __init__(self) -> None:
        self.out: Any = None

    def forward(self, x: Any) -> Any:
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout: Any) -> Any:
        return dout * (1.0 - self.out) * self.out


class Gains:
    """Has its gradient in a list, as no name says."""

    def __init__(self, width: int) -> None:
        self.gains = np.ones(width, "float32")
        self.grads: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.gains

    def backward(self, dout: Any) -> Any:
        self.grads = [(dout * self.x).sum(axis=0)]
        return dout * self.gains


def with_layer(layer: Any) -> Sequential:
    return Sequential([affine_of(np.ones((12, 4)) / 9, np.zeros(4)), layer])


@pytest.mark.parametrize("used", ["predict", "gradient", "fit"])
def test_an_output_that_is_kept_is_in_nobodys_way(batch: Batch, used: str, tmp_path: Path) -> None:
    network = with_layer(BookSigmoid())
    if used == "predict":
        network.predict(batch.x)
    elif used == "gradient":
        network.gradient(batch.x, batch.t)
    else:
        fit(network, batch.x, batch.t, progress=False)
    network.save(tmp_path / "network")
    other = with_layer(BookSigmoid())
    other.params["W1"] *= 0
    other.load(tmp_path / "network")
    np.testing.assert_array_equal(other.predict(batch.x), network.predict(batch.x))
    assert set(network.params.copy()) == {"W1", "b1"}


def test_arrays_that_are_not_trained_are_named(batch: Batch, tmp_path: Path) -> None:
    network = with_layer(Gains(4))
    with pytest.warns(fastnn.TrainingWarning, match=r"'Gains1' \(gains\)"):
        fit(network, batch.x, batch.t, progress=False)
    network.save(tmp_path / "network")  # fit has said what is not in it
    fresh = with_layer(Gains(4))
    for refused in (lambda: fresh.save(tmp_path / "fresh"), fresh.params.copy):
        with pytest.raises(ValueError, match=r"'Gains1' \(gains\).*parameters = "):
            refused()

    class Constants(Gains):
        parameters = ()

    fit(with_layer(Constants(4)), batch.x, batch.t, progress=False)


def test_no_snapshot_without_names(batch: Batch) -> None:
    network = Sequential([BookAffine(np.ones((12, 4)) / 9, np.zeros(4))])
    with pytest.raises(ValueError, match="params were not copied"):
        network.params.copy()
    network.gradient(batch.x, batch.t)
    assert set(network.params.copy()) == {"W1", "b1"}


class Preallocated(BookAffine):
    """Writes its gradients into arrays that were there before."""

    def __init__(self, W: Any, b: Any) -> None:
        super().__init__(W, b)
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)

    def backward(self, dout: Any) -> Any:
        self.dW[...] = self.x.T @ dout
        self.db[...] = dout.sum(axis=0)
        return dout @ self.W.T


@pytest.mark.parametrize("kind", [BookAffine, Preallocated])
@pytest.mark.parametrize("rows", ["one", "alike", "zeros", "many"])
def test_whatever_the_first_batch_is(batch: Batch, kind: Any, rows: str) -> None:
    """Also where a last layer of zeros lets no gradient through to the first."""
    x = {"one": batch.x[:1], "alike": np.ones((5, 12)), "zeros": np.zeros((5, 12))}.get(
        rows, batch.x
    )
    t = batch.t[: len(x)]
    W, W2 = np.full((12, 6), 0.1), np.zeros((6, 4))
    network = Sequential([kind(W, np.zeros(6)), BookSigmoid(), kind(W2, np.zeros(4))])
    assert set(network.gradient(x, t)) == {"W1", "b1", "W2", "b2"}
    network = Sequential([kind(W, np.zeros(6)), BookSigmoid(), kind(W2, np.zeros(4))])
    fit(network, x, t, epochs=3, batch_size=1, optimizer=SGD(0.5), progress=False)
    assert set(network.params) == {"W1", "b1", "W2", "b2"}
    assert not np.array_equal(network.params["b1"], np.zeros(6))


def test_gradients_that_are_written_in_place_are_checked_right(batch: Batch) -> None:
    W, W2 = np.linspace(-1, 1, 72).reshape(12, 6), np.linspace(1, -1, 24).reshape(6, 4)
    layers = [Preallocated(W, np.zeros(6)), BookSigmoid(), Preallocated(W2, np.zeros(4))]
    report = check_gradients(Sequential(layers), batch.x, batch.t, backends="numpy")
    assert report.passed, str(report)
