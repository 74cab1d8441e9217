"""What copies and pickles of networks carry: parameters, and nothing of the data they have seen."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref
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
    SoftmaxWithLoss,
    TwoLayerNet,
    fit,
)
from fastnn.backends import Backend, selection
from fastnn.nn import losses, saving
from fastnn.nn.activations import BY_PRIMITIVE
from fastnn.nn.layer import Layer
from tests.helpers.layers import AnyScale, Scale, Square, SquaredError
from tests.helpers.problems import Batch, affine_of


def pickled(network: Any) -> bytes:
    return pickle.dumps(network)


def joblib_dump(network: Any) -> bytes:
    file = io.BytesIO()
    pytest.importorskip("joblib").dump(network, file)
    return file.getvalue()


def cloudpickled(network: Any) -> bytes:
    content: bytes = pytest.importorskip("cloudpickle").dumps(network)
    return content


WAYS: dict[str, Callable[[Any], bytes]] = {
    "pickle": pickled,
    "old pickle": lambda network: pickle.dumps(network, 2),
    "joblib": joblib_dump,
    "cloudpickle": cloudpickled,
    "of a copy": lambda network: pickled(copy.copy(network)),
    "of copy()": lambda network: pickled(network.copy()),
    "of a deep copy": lambda network: pickled(copy.deepcopy(network)),
}

USES: dict[str, Callable[[Sequential, Any, Any], object]] = {
    "predict": lambda network, x, t: network.predict(x),
    "predict in training": lambda network, x, t: network.predict(x, train_flg=True),
    "loss": lambda network, x, t: network.loss(x, t),
    "accuracy": lambda network, x, t: network.accuracy(x, t),
    "gradient": lambda network, x, t: network.gradient(x, t),
    "fit": lambda network, x, t: fit(network, x, t, batch_size=100, progress=False),
}


@pytest.mark.parametrize("use", list(USES))
@pytest.mark.parametrize("way", list(WAYS))
def test_nothing_of_the_data_is_carried(backend: Backend, way: str, use: str) -> None:
    batch = Batch(500, 40, 4)
    layers = TwoLayerNet(40, 6, 4, 0.5, seed=3).layers
    network = Sequential([*layers.values(), Relu()])  # of which one is trained by itself
    network.predict(batch.x[:1])
    unused = len(WAYS[way](network))
    USES[use](network, batch.x, batch.t)
    gradients = [layer.dW for layer in network.layers.values() if isinstance(layer, Affine)]
    content = WAYS[way](network)
    assert abs(len(content) - unused) < 200
    if way == "old pickle":
        return  # which writes bytes as a text
    for secret in (batch.x[3], batch.x[3].astype("float64"), batch.t[:10], *gradients):
        if secret is not None:
            assert fastnn.to_numpy(secret).tobytes() not in content


def test_the_size_is_that_of_the_parameters(backend: Backend) -> None:
    network = TwoLayerNet(784, 50, 10, seed=0)
    batch = Batch(2000, 784, 10)
    network.predict(batch.x)
    network.gradient(batch.x, batch.t)
    parameters = 4 * (784 * 50 + 50 + 50 * 10 + 10)
    assert parameters < len(pickle.dumps(network)) < parameters + 3000


@pytest.mark.parametrize("use", ["predict", "accuracy"])
def test_evaluation_does_not_keep_its_input_alive(backend: Backend, use: str) -> None:
    batch = Batch(50, 12, 4)
    network = TwoLayerNet(12, 6, 4, seed=3)
    x = backend.asarray(batch.x)
    if not hasattr(x, "__weakref__"):
        x = x.view() if isinstance(x, np.ndarray) else x
    alive = weakref.ref(x)
    USES[use](network, x, batch.t)
    del x
    gc.collect()
    assert alive() is None
    kept = [value for layer in network._all_layers() for value in vars(layer).values()]
    assert not [one for one in kept if getattr(one, "shape", ())[:1] == (50,)]


def test_copies_have_forgotten_and_the_network_has_not(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    network.gradient(batch.x, batch.t)
    layer = network.layers["Affine1"]
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert (twin.x, twin.dW, twin.db) == (None, None, None)
        assert backend.owns(twin.W)
        assert twin.backend is backend
    assert layer.dW.shape == (12, 6)
    assert copy.copy(layer).W is layer.W
    last = copy.deepcopy(network.last_layer)
    assert (last.y, last.t, last.loss) == (None, None, None)
    network.last_layer.backward(1)


def test_a_shallow_copy_is_a_network_of_its_own(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    network.note = "mine"  # type: ignore[attr-defined]
    twin = copy.copy(network)
    assert type(twin) is TwoLayerNet
    assert twin.note == "mine"  # type: ignore[attr-defined]
    assert twin._network_lock is not network._network_lock
    before = fastnn.to_numpy(network.predict(batch.x))
    fit(twin, batch.x, batch.t, batch_size=7, progress=False)
    twin.params["W2"] *= 0
    np.testing.assert_array_equal(fastnn.to_numpy(network.predict(batch.x)), before)


class Named(Sequential):
    """A network that also knows one of its layers by a name."""

    def __init__(self) -> None:
        self.scale = Scale(np.ones(4))
        super().__init__([Affine(np.ones((12, 4)), np.zeros(4)), self.scale], SoftmaxWithLoss())


@pytest.mark.parametrize(
    "duplicate",
    [Sequential.copy, copy.copy, copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))],
)
def test_layers_that_have_a_name_of_their_own(duplicate: Any) -> None:
    with fastnn.use_backend("numpy"):
        network = Named()
    twin = duplicate(network)
    assert twin.scale is twin.layers["Scale1"] is not network.scale


LAYERS_ALONE: dict[str, Callable[[], Any]] = {
    "Affine": lambda: affine_of(np.ones((40, 40), "float32"), np.zeros(40, "float32")),
    "BatchNormalization": lambda: BatchNormalization([1.0] * 40, [0.0] * 40),
    "Dropout": lambda: Dropout(0.3, seed=1),
    "Relu": Relu,
    **{cls.__name__: cls for cls in BY_PRIMITIVE},
}


def test_all_layers_are_looked_at_alone() -> None:
    assert {cls.__name__ for cls in saving.LAYERS} == LAYERS_ALONE.keys()


@pytest.mark.parametrize("name", list(LAYERS_ALONE))
def test_a_layer_alone_carries_nothing_of_the_data(backend: Backend, name: str) -> None:
    layer = LAYERS_ALONE[name]()
    sizes = []
    for samples in (0, 500):
        if samples:
            x = backend.asarray(Batch(samples, 40, 4).x)
            layer.backward(layer.forward(x))
        twins = copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
        sizes.append([len(pickle.dumps(twin)) for twin in (layer, *twins)])
        for twin in twins:
            kept = [one for one in vars(twin).values() if getattr(one, "shape", ())[:1] == (500,)]
            assert kept == []
    assert max(sizes[1]) < min(sizes[0]) + 200


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_a_loss_alone_carries_nothing_of_the_data(backend: Backend, loss: Any) -> None:
    last, batch = loss(), Batch(500, 4, 4)
    unused = len(pickle.dumps(last))
    last.forward(backend.asarray(batch.x), backend.asarray(batch.one_hot))
    last.backward()
    for twin in (last, copy.copy(last), copy.deepcopy(last), pickle.loads(pickle.dumps(last))):
        assert len(pickle.dumps(twin)) <= unused + 8


class Remembering(Layer):
    """A layer that derives from fastnn's, has a slot, and says what it keeps."""

    __slots__ = ("extra",)

    def __init__(self) -> None:
        super().__init__()
        self.extra = [1]
        self.forget()

    def forget(self) -> None:
        self.seen: Any = None

    def forward(self, x: Any) -> Any:
        self.seen = x
        return x

    def backward(self, dout: Any) -> Any:
        return dout


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))]
)
def test_a_layer_that_derives_from_fastnn_s(backend: Backend, batch: Batch, duplicate: Any) -> None:
    network = Sequential([affine_of(np.ones((12, 4)), np.zeros(4)), Remembering()])
    network.predict(batch.x)
    layer = network.layers["Remembering1"]
    twin = duplicate(layer)
    assert twin.seen is None
    assert twin.extra == [1]
    assert layer.seen.shape == (7, 4)


def test_a_pickle_is_read_onto_the_backend_that_is_selected(
    backend: Backend, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the backend that it was written on cannot run."""
    pytest.importorskip("array_api_strict")
    monkeypatch.setitem(selection.REGISTRY, "strict", "tests.helpers.strict_backend:StrictBackend")
    with fastnn.use_backend("strict"):
        network = MultiLayerNet(12, [6], 4, use_batchnorm=True, use_dropout=True, seed=3)
        network.predict(batch.x, train_flg=True)
    layer, content = pickle.dumps(network.layers["BatchNorm1"]), pickle.dumps(network)
    if backend.name != "strict":
        monkeypatch.setitem(selection._reasons, "strict", "The strict backend cannot run: gone.")
    arrived = pickle.loads(content)
    assert arrived.backend is backend
    assert {one.backend for one in arrived._all_layers()} == {backend}
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(arrived.state_dict()[name], array)
    assert backend.owns(pickle.loads(layer).running_mean)
    assert arrived.layers["Dropout1"].draws == 1
    arrived.params["W1"] -= 1
    assert backend.owns(arrived.gradient(batch.x, batch.t)["gamma1"])


def test_where_none_is_selected_a_pickle_is_read_onto_its_own(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("array_api_strict")
    monkeypatch.setitem(selection.REGISTRY, "strict", "tests.helpers.strict_backend:StrictBackend")
    with fastnn.use_backend("strict"):
        network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    before = fastnn.to_numpy(network.predict(batch.x))
    content = pickle.dumps(network)
    assert pickle.loads(content).backend is network.backend
    monkeypatch.setitem(selection._reasons, "strict", "The strict backend cannot run here: gone.")
    with pytest.warns(fastnn.BackendFallbackWarning, match="gone") as warned:
        arrived = pickle.loads(content)
    assert len(warned) == 1
    assert arrived.backend.on_host
    np.testing.assert_allclose(arrived.predict(batch.x), before, rtol=1e-5)
    arrived.params["W1"] -= 1
    fit(arrived, batch.x, batch.t, batch_size=7, progress=False)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, Sequential.copy])
def test_copies_stay_on_their_backend(duplicate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("array_api_strict")
    monkeypatch.setitem(selection.REGISTRY, "strict", "tests.helpers.strict_backend:StrictBackend")
    with fastnn.use_backend("strict") as strict:
        network = Sequential([affine_of(np.ones((12, 4)), np.zeros(4)), AnyScale(np.ones(4))])
    with fastnn.use_backend("numpy"):
        twin = duplicate(network)
    assert twin.backend is strict
    assert strict.owns(twin.layers["Affine1"].W)
    assert strict.owns(twin.layers["AnyScale1"].gamma)
    assert twin.layers["AnyScale1"] is not network.layers["AnyScale1"]


def test_layers_of_your_own_go_to_the_active_backend(
    backend: Backend, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("array_api_strict")
    monkeypatch.setitem(selection.REGISTRY, "strict", "tests.helpers.strict_backend:StrictBackend")
    for name in ("numpy", "strict"):
        with fastnn.use_backend(name):
            network = Sequential([affine_of(np.ones((12, 4)), np.zeros(4)), AnyScale(np.ones(4))])
        arrived = pickle.loads(pickle.dumps(network))
        assert backend.owns(arrived.layers["AnyScale1"].gamma)
        assert arrived.params["gamma1"] is arrived.layers["AnyScale1"].gamma
        assert network.backend.owns(network.layers["AnyScale1"].gamma)
        expected = fastnn.to_numpy(network.predict(batch.x))
        np.testing.assert_allclose(fastnn.to_numpy(arrived.predict(batch.x)), expected, rtol=1e-5)


class Keeping(Layer):
    """A layer that derives from fastnn's, and does not say what it keeps."""

    parameters = ()

    def forward(self, x: Any) -> Any:
        self.seen = x
        return x

    def backward(self, dout: Any) -> Any:
        return dout


class Discreet(Square):
    """A layer of the user's own that leaves out of pickles what it keeps."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Projection(Square):
    """A layer of the user's own with an array that is always there, and none of a batch."""

    def __init__(self) -> None:
        self.fixed = np.eye(4)

    def forward(self, x: Any) -> Any:
        return x @ self.fixed

    def backward(self, dout: Any) -> Any:
        return dout @ self.fixed.T


class Averaging(Square):
    """A layer of the user's own with state that comes with the first batch, of two dimensions."""

    def forward(self, x: Any) -> Any:
        self.moments = 0.9 * getattr(self, "moments", 0) + 0.1 * (x.T @ x)
        if not hasattr(self, "mean"):
            self.mean = np.zeros(x.shape[1])
        self.mean *= 0.9  # in place
        self.mean += 0.1 * x.mean(axis=0)
        self.total = x.sum()
        return super().forward(x)


class Demanding(Square):
    """A layer of the user's own that takes large batches only."""

    def forward(self, x: Any) -> Any:
        if len(x) < 5000:
            raise ValueError("too few")
        return super().forward(x)


class Drawing(Square):
    """A layer of the user's own that draws from NumPy's generator, as the book's dropout."""

    def forward(self, x: Any) -> Any:
        self.mask = np.random.rand(*x.shape) > 0.5  # noqa: NPY002
        return super().forward(x * self.mask)


OWN_LAYERS: list[tuple[Any, Any]] = [
    (Square, SoftmaxWithLoss),
    (lambda: Scale(np.ones(4)), SoftmaxWithLoss),
    (Keeping, SoftmaxWithLoss),
    (Averaging, SquaredError),
    (Discreet, SoftmaxWithLoss),
    (Remembering, SoftmaxWithLoss),
    (Projection, SquaredError),
]


@pytest.mark.parametrize(("layer", "last_layer"), OWN_LAYERS)
@pytest.mark.parametrize("way", list(WAYS))
def test_layers_of_your_own_carry_nothing_of_the_data(
    layer: Any, last_layer: Any, way: str
) -> None:
    """It shows in their arrays, which are as large as the batch."""
    batch = Batch(5000, 12, 4)
    with fastnn.use_backend("numpy"):
        network = Sequential([Affine(np.ones((12, 4)), np.zeros(4)), layer()], last_layer())
        network.gradient(batch.x[:2], batch.one_hot[:2])
        few = len(WAYS[way](network))
        network.gradient(batch.x, batch.one_hot)
        content = WAYS[way](network)
        expected = network.predict(batch.x[:5])
    assert abs(len(content) - few) < 300
    if way != "joblib":  # which has a format of its own
        np.testing.assert_array_equal(pickle.loads(content).predict(batch.x[:5]), expected)


def test_layers_that_know_their_network() -> None:
    batch = Batch(50, 12, 4)
    with fastnn.use_backend("numpy"):
        network = Sequential([Affine(np.ones((12, 4)), np.zeros(4)), Square(), Square()])
    for layer in network.layers.values():
        layer.network = network
    network.gradient(batch.x, batch.t)
    for twin in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        assert twin.layers["Square2"].network is twin
        np.testing.assert_array_equal(twin.predict(batch.x), network.predict(batch.x))
        assert twin.layers["Square1"].x.shape == (50, 4)  # by the prediction
    content = pickle.dumps(network)
    assert batch.x.astype("float64").tobytes() not in content


def test_what_is_tried_on_copies_shows_nowhere() -> None:
    with fastnn.use_backend("numpy"):
        network = Sequential([Affine(np.ones((12, 4)), np.zeros(4)), Averaging(), Drawing()])
    network.gradient(Batch(50, 12, 4).x, Batch(50, 12, 4).t)
    layers = [dict(vars(layer)) for layer in network._all_layers()]
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    pickle.dumps(network)
    assert np.random.rand() == expected  # noqa: NPY002
    for layer, before in zip(network._all_layers(), layers, strict=True):
        assert vars(layer).keys() == before.keys()
        assert all(vars(layer)[name] is before[name] for name in before)


def test_state_that_came_with_the_first_batch_is_carried() -> None:
    batch = Batch(50, 12, 4)
    with fastnn.use_backend("numpy"):
        network = Sequential([Affine(np.ones((12, 4)), np.zeros(4)), Averaging()])
        network.gradient(batch.x, batch.t)
    layer = network.layers["Averaging1"]
    for twin in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        other = twin.layers["Averaging1"]
        assert other.x is None
        np.testing.assert_array_equal(other.moments, layer.moments)
        np.testing.assert_array_equal(other.mean, layer.mean)
        assert other.total == layer.total
    assert layer.x.shape == (50, 4)


class BookAffine:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b
        self.x = self.dW = self.db = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        assert self.x is not None
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class BookRelu:
    def __init__(self) -> None:
        self.mask: Any = None

    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Any) -> Any:
        dout[self.mask] = 0
        return dout


class BookSoftmaxWithLoss:
    def __init__(self) -> None:
        self.loss = self.y = self.t = None

    def forward(self, x: Any, t: Any) -> Any:
        self.t, self.y = t, fastnn.softmax(x)
        self.loss = fastnn.cross_entropy_error(self.y, t)
        return self.loss

    def backward(self, dout: float = 1) -> Any:
        assert self.t is not None
        assert self.y is not None
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return dx / len(dx)


def book() -> Sequential:
    rng = np.random.default_rng(0)
    W1, W2 = 0.01 * rng.standard_normal((784, 50)), 0.1 * rng.standard_normal((50, 10))
    layers = [BookAffine(W1, np.zeros(50)), BookRelu(), BookAffine(W2, np.zeros(10))]
    return Sequential(layers, BookSoftmaxWithLoss())


def test_the_book_s_layers_leave_their_batch_behind() -> None:
    """203 MB of them once, where 60,000 images had gone through; the parameters are 0.16."""
    x = Batch(3000, 784, 10).x
    with fastnn.use_backend("numpy"):
        network = book()
        before = len(pickle.dumps(network))
        network.predict(x)
        alone = sum(len(pickle.dumps(layer)) for layer in network.layers.values())
        assert alone > x.nbytes
        assert len(pickle.dumps(network)) < before + 200
        network.gradient(x, Batch(3000, 784, 10).t)
        content = pickle.dumps(network)
        assert len(content) < 2 * before + 500  # parameters and their gradients
        np.testing.assert_array_equal(pickle.loads(content).predict(x[:5]), network.predict(x[:5]))


@pytest.mark.parametrize(
    ("layer", "kept"),
    [(Demanding, r"Demanding1 \(x \(5000, 4\)\)"), (Keeping, r"Keeping \(seen \(5000, 4\)\)")],
)
def test_what_cannot_be_left_out_is_told(layer: Any, kept: str) -> None:
    batch = Batch(5000, 12, 4)
    with fastnn.use_backend("numpy"):
        network = Sequential([Affine(np.ones((12, 4)), np.zeros(4)), layer()])
        network.gradient(batch.x, batch.t)
        copy.deepcopy(network)
        told: Any = network.layers["Keeping1"] if layer is Keeping else network
        with pytest.warns(fastnn.LastBatchWarning, match=kept) as warned:
            content = pickle.dumps(told)
    assert len(warned) == 1
    pickle.loads(content)


def test_read_only_arrays_are_copied_when_they_arrive(batch: Batch) -> None:
    """As joblib maps the arrays of a file, or of a parent process, for reading only."""
    with fastnn.use_backend("numpy"):
        network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(network, protocol=5, buffer_callback=buffers.append)
    assert len(buffers) == 4
    twin = pickle.loads(content, buffers=[bytes(buffer.raw()) for buffer in buffers])
    twin.params["W1"] -= 1
    np.testing.assert_allclose(network.params["W1"] - 1, twin.params["W1"])
