"""ONNX files: what onnxruntime computes from them, and the way back."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import fastnn
from fastnn import (
    Affine,
    BatchNormalization,
    CorruptFileError,
    Dropout,
    Gelu,
    LeakyRelu,
    MeanSquaredError,
    MultiLayerNet,
    PoissonWithLoss,
    Relu,
    Sequential,
    Sigmoid,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Tanh,
    TwoLayerNet,
)
from fastnn.backends import Backend
from fastnn.exports import onnx_nodes
from fastnn.exports.onnx_nodes import OPSET
from fastnn.nn import losses, saving
from tests.helpers.layers import Scale, SquaredError
from tests.helpers.problems import Batch, affine_of

onnx = pytest.importorskip("onnx")

X = np.random.default_rng(1).standard_normal((9, 12))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.onnx"


def every_layer(dtype: str, loss: Any = SoftmaxWithLoss) -> Sequential:
    """A network of all layers that fastnn has, after some training."""
    first = MultiLayerNet(
        12, [6, 5], 4, "gelu", use_batchnorm=True, use_dropout=True, dtype=dtype, seed=1
    )
    more = {"Tanh": Tanh(), "Leaky": LeakyRelu(0.3), "Sigmoid": Sigmoid(), "Relu": Relu()}
    last = MultiLayerNet(4, [], 3, dtype=dtype, seed=2).layers["Affine1"]
    network = Sequential({**first.layers, **more, "Last": last}, loss())
    network.predict(X, train_flg=True)
    return network


def run(path: Path, x: Any) -> dict[str, Any]:
    """Give what onnxruntime computes, by the outputs' names."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def test_every_part_is_known() -> None:
    assert set(onnx_nodes.LAYERS) == set(saving.LAYERS)
    assert set(onnx_nodes.PROBABILITIES) == set(losses.LOSSES)


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_onnxruntime_gives_what_predict_gives(
    backend: Backend, dtype: str, loss: Any, path: Path
) -> None:
    network = every_layer(dtype, loss)
    network.to_onnx(path)
    onnx.checker.check_model(path, full_check=True)
    found = run(path, X.astype(dtype))
    expected = {"scores": network.predict(X)}
    if loss not in (MeanSquaredError, PoissonWithLoss):
        expected["probabilities"] = network.predict_proba(X)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == dtype
        np.testing.assert_allclose(found[name], fastnn.to_numpy(array), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [Gelu, LeakyRelu, Relu, Sigmoid, Tanh])
def test_activations_alone_on_numbers_of_any_size(layer: Any, dtype: str, path: Path) -> None:
    with fastnn.use_backend("numpy"):
        network = Sequential([layer()], MeanSquaredError()).astype(dtype)
    x = np.array([[0, -0.5, 3, -8, 1e4, -1e4, np.inf, np.nan]], dtype)
    network.to_onnx(path)
    found, expected = run(path, x)["scores"], network.predict(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_way_back_gives_the_same_bits(backend: Backend, dtype: str, path: Path) -> None:
    network = every_layer(dtype, SigmoidWithLoss)
    network.weight_decay_lambda = 0.25
    network.to_onnx(path)
    again = fastnn.from_onnx(path)
    assert again.backend is backend
    assert again.dtype == dtype
    assert list(again.layers) == list(network.layers)
    assert type(again.last_layer) is SigmoidWithLoss
    assert again.weight_decay_lambda == 0.25
    state, before = again.state_dict(), network.state_dict()
    assert state.keys() == before.keys()
    for name, array in before.items():
        assert state[name].tobytes() == array.tobytes()
    np.testing.assert_array_equal(
        fastnn.to_numpy(again.predict(X, train_flg=True)),  # dropout goes on with its masks
        fastnn.to_numpy(network.predict(X, train_flg=True)),
    )
    assert again.layers["Leaky"].slope == 0.3


def test_what_the_file_tells(path: Path) -> None:
    network = TwoLayerNet(12, 6, 4, seed=0)
    fastnn.to_onnx(network, path)
    model = onnx.load(path)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]
    assert (model.producer_name, model.producer_version) == ("fastnn", fastnn.__version__)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["fastnn.version"] == fastnn.__version__
    assert told["fastnn.class"] == model.graph.name == "TwoLayerNet"
    assert told["fastnn.layers"] == "Affine1, Relu1, Affine2, SoftmaxWithLoss"
    described = json.loads(told["fastnn.network"])
    assert described["layers"] == [["Affine1", "Affine"], ["Relu1", "Relu"], ["Affine2", "Affine"]]
    assert {tensor.name for tensor in model.graph.initializer} == {"W1", "b1", "W2", "b2"}
    shapes = {
        value.name: [one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"x": ["N", 12], "scores": ["N", 4], "probabilities": ["N", 4]}


def test_a_network_without_layers(path: Path) -> None:
    with fastnn.use_backend("numpy"):
        Sequential([]).to_onnx(path)
    np.testing.assert_array_equal(run(path, X.astype("float32"))["scores"], X.astype("float32"))
    assert list(fastnn.from_onnx(path).layers) == []


class Doubling(Relu):
    """A layer that derives from one of fastnn's and computes something else."""

    def forward(self, x: Any, *, for_backward: bool = True) -> Any:
        return 2 * super().forward(x, for_backward=for_backward)


class Shifted(TwoLayerNet):
    def predict(self, x: object, train_flg: bool = False) -> Any:
        return super().predict(x, train_flg) + 1


def test_what_is_of_your_own_is_refused(path: Path) -> None:
    with fastnn.use_backend("numpy"):
        networks = [
            (
                Sequential([Scale(np.ones(12))]),
                r"layer 'Scale1', a Scale of your own.*onnx\.helper",
            ),
            (Sequential([Doubling()]), "layer 'Doubling1', a Doubling of your own"),
            (Shifted(12, 6, 4), r"Shifted has a predict of its own.*Sequential\(network\.layers"),
        ]
    with pytest.raises(TypeError, match="network must be one of fastnn's"):
        fastnn.to_onnx(networks[2][0].layers["Affine1"], path)
    for network, message in networks:
        with pytest.raises(TypeError, match=message):
            network.to_onnx(path)
    assert not path.exists()


def test_a_loss_of_your_own(path: Path) -> None:
    network = TwoLayerNet(12, 6, 4, seed=0)
    network.lastLayer = SquaredError()
    network.to_onnx(path)
    assert run(path, X.astype("float32")).keys() == {"scores"}
    with pytest.raises(ValueError, match=r"a loss of your own, SquaredError: .*network\.load"):
        fastnn.from_onnx(path)


def test_files_of_others(path: Path) -> None:
    helper = onnx.helper
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g", [info("x", 1, ["N"])], [info("y", 1, ["N"])]
    )
    onnx.save(helper.make_model(graph, producer_name="pytorch"), path)
    with pytest.raises(ValueError, match=r"not written by fastnn, but by pytorch: .*load_state_di"):
        fastnn.from_onnx(path)


def test_files_that_were_changed(path: Path) -> None:
    TwoLayerNet(12, 6, 4, seed=0).to_onnx(path)
    whole = path.read_bytes()

    def refused(message: str, change: Any) -> None:
        model = onnx.load_model_from_string(whole)
        change(model)
        onnx.save(model, path)
        with pytest.raises(CorruptFileError, match=message):
            fastnn.from_onnx(path)

    def other_weights(model: Any) -> None:
        model.graph.initializer[1].CopyFrom(
            onnx.numpy_helper.from_array(np.ones(6, "float32"), "b1")
        )

    def other_operator(model: Any) -> None:
        model.graph.node[1].op_type = "Tanh"

    def no_description(model: Any) -> None:
        next(one for one in model.metadata_props if one.key == "fastnn.network").value = "{}"

    def elsewhere(model: Any) -> None:
        onnx.external_data_helper.convert_model_to_external_data(
            model, location="weights", size_threshold=0
        )

    refused("changed after fastnn wrote it", other_weights)
    refused("changed after fastnn wrote it", other_operator)
    refused("does not say what network", no_description)
    refused("no whole ONNX file|lie in another file", elsewhere)


def test_any_damage_is_an_error(path: Path) -> None:
    TwoLayerNet(3, 2, 2, seed=0).to_onnx(path)
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    loaded = fastnn.from_onnx(path).state_dict()
    for _ in range(60):
        damaged = bytearray(whole[: generator.integers(len(whole) + 1)])
        if len(damaged) == len(whole) or generator.random() < 0.5:
            damaged = bytearray(whole)
            damaged[generator.integers(len(whole))] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        try:
            found = fastnn.from_onnx(path).state_dict()
        except ValueError:  # CorruptFileError, or no key of fastnn's any more
            continue
        for name, array in loaded.items():  # a bit of a text that nothing depends on
            np.testing.assert_array_equal(found[name], array)


def test_no_such_file_and_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = TwoLayerNet(3, 2, 2, seed=0)
    with pytest.raises(FileNotFoundError, match=r"^there is no file .*nowhere"):
        fastnn.from_onnx(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError, match="is a directory, and not a file"):
        fastnn.from_onnx(tmp_path)
    with pytest.raises(IsADirectoryError, match="not written: this is a directory: name a file"):
        network.to_onnx(tmp_path)
    for call in (network.to_onnx, fastnn.from_onnx):
        with pytest.raises(
            TypeError, match=r"path must be a path, such as 'network\.onnx', got None"
        ):
            call(cast(Any, None))
    with pytest.raises(FileNotFoundError, match="the network was not written"):
        network.to_onnx(tmp_path / "nowhere" / "network.onnx")
    path = tmp_path / "network.onnx"
    network.to_onnx(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="not written: No space left on device"):
        TwoLayerNet(3, 2, 2, seed=1).to_onnx(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_without_the_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for write_or_read in (TwoLayerNet(3, 2, 2).to_onnx, fastnn.from_onnx):
        with pytest.raises(ImportError, match=r"pip install 'fastnn-backends\[onnx\]'"):
            write_or_read(path)
    assert not path.exists()


def test_a_network_that_is_trained_meanwhile_goes_on(path: Path, batch: Batch) -> None:
    """A file that a callback writes holds the parameters of that moment."""
    with fastnn.use_backend("numpy"):
        network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    states: list[dict[str, Any]] = []

    def write(network: Sequential, _: fastnn.History) -> None:
        network.to_onnx(path)
        states.append(network.state_dict())

    fastnn.fit(network, batch.x, batch.t, epochs=2, batch_size=7, callbacks=[write], progress=False)
    found = fastnn.from_onnx(path).state_dict()
    for name, array in states[-1].items():
        np.testing.assert_array_equal(found[name], array)


def by_chance(seed: int) -> tuple[Sequential, Any]:
    """Give a network of any layers, sizes, dtype and loss, that has seen some data, and data."""
    rng = np.random.default_rng(seed)
    width, dtype = int(rng.integers(1, 9)), str(rng.choice(["float32", "float64"]))
    x = rng.standard_normal((int(rng.integers(2, 20)), width)) * 10.0 ** rng.integers(-2, 3)
    layers: list[Any] = []
    for _ in range(rng.integers(1, 8)):
        kind: Any = saving.LAYERS[rng.integers(len(saving.LAYERS))]
        if kind is Affine:
            units = int(rng.integers(1, 9))
            arrays = rng.standard_normal((width, units)), rng.standard_normal(units)
            layers.append(affine_of(*(array.astype(dtype) for array in arrays)))
            width = units
        elif kind is BatchNormalization:
            gamma, beta = rng.uniform(0.5, 2, width), rng.standard_normal(width)
            layers.append(BatchNormalization(gamma.astype(dtype), beta.astype(dtype)))
        elif kind is Dropout:
            layers.append(kind(float(rng.uniform(0, 0.9)), seed=seed))
        else:
            layers.append(kind())
    network = Sequential(layers, losses.LOSSES[seed % len(losses.LOSSES)]()).astype(dtype)
    network.predict(x, train_flg=True)
    return network, x


def hold_by_chance(path: Path, seeds: Iterable[int]) -> None:
    for seed in seeds:
        with fastnn.use_backend("numpy"):
            network, x = by_chance(seed)
        network.to_onnx(path)
        found, expected = run(path, x.astype(network.dtype))["scores"], network.predict(x)
        scale = 1e-5 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=scale, err_msg=str(seed))
        state, before = fastnn.from_onnx(path).state_dict(), network.state_dict()
        assert state.keys() == before.keys()
        for name, array in before.items():
            assert state[name].tobytes() == array.tobytes(), (seed, name)


def test_networks_by_chance(path: Path) -> None:
    hold_by_chance(path, range(30))


@pytest.mark.exhaustive
def test_many_networks_by_chance(path: Path) -> None:
    hold_by_chance(path, range(30, 800))
