"""`network.summary()`: what it says of layers holds, and is said in a few lines."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Adam, MultiLayerNet, Relu, Sequential, TwoLayerNet
from fastnn.backends import Backend
from fastnn.training.summary import Summary
from tests.helpers.layers import AnyScale, AnySquaredError, Book, Scale, Square
from tests.helpers.problems import Batch, affine_of


def everything() -> MultiLayerNet:
    return MultiLayerNet(12, [6, 5], 4, "gelu", use_batchnorm=True, use_dropout=True, seed=1)


def test_rows_are_the_layers(backend: Backend, batch: Batch) -> None:
    network = everything()
    found: Summary = network.summary()
    assert [row.layer for row in found.rows] == [*network.layers, "last_layer"]
    assert found.parameters == sum(np.size(a) for a in network.state_dict().values()) - 2 * (6 + 5)
    x = network.backend.asarray(batch.x)
    for row, layer in zip(found.rows, network.layers.values(), strict=False):
        x = layer.forward(x)
        assert row.output == f"(N, {x.shape[1]})"
        assert row.kind.startswith(type(layer).__name__)
        assert backend.name not in row.kind
    assert found.rows[-1].output == "()"


def test_what_runs_where_is_what_explain_says(backend: Backend) -> None:
    network = everything()
    for optimizer in (None, Adam()):
        told = fastnn.explain(network, optimizer)
        found = network.summary(optimizer)
        assert {row.runs.partition(":")[0] for row in found.rows} == {told.runs}
        reasons = {row.runs.partition(": ")[2] for row in found.rows}
        assert reasons == {reason for _, reason in told.parts[:-1]}
        assert any(one.startswith(f"{told.parts[-1][0]}: {told.runs}") for one in found.remarks)
        assert set(told.remarks) <= set(found.remarks)


def test_reasons_stand_beside_their_layer() -> None:
    if not fastnn.available_backends()["numba"].usable:
        pytest.skip("Numba cannot run here")
    with fastnn.use_backend("numba"):
        first, middle, last = (affine_of(np.ones((n, 4)), np.zeros(4)) for n in (12, 4, 4))
        layers = {"first": first, "act": Relu(), "middle": middle, "own": Square(), "last": last}
        network = Sequential(layers)
    runs = {row.layer: row.runs for row in network.summary().rows}
    told = dict(fastnn.explain(network).parts)
    assert "first (Affine), act (Relu)" in told
    assert runs["first"] == runs["act"] == runs["last_layer"] == "loop"
    for name, part in (("own", "own (Square)"), ("last", "last (Affine)")):
        assert told[part]
        assert runs[name] == f"loop: {told[part]}"


def test_layers_of_your_own(backend: Backend, batch: Batch) -> None:
    own = AnyScale(backend.asarray(np.ones(4, "float32")))
    affine = affine_of(np.ones((12, 4), "float32"), np.zeros(4, "float32"))
    network = Sequential([affine, own, Relu()], AnySquaredError())
    assert [row.output for row in network.summary().rows] == ["(N, 4)", "?", "?", "()"]
    before = vars(own).copy()
    rows = network.summary(x=batch.x).rows
    assert [row.output for row in rows] == ["(N, 4)"] * 3 + ["()"]
    assert [row.parameters for row in rows] == [52, None, 0, 0]
    assert vars(own) == before  # it has run on a copy


def test_parameters_that_nobody_has_named_yet(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = Sequential([Book(12), Square()])
    found = network.summary()
    assert [row.parameters for row in found.rows] == [None, 0, 0]
    assert "0 parameters" in found.remarks[0]
    assert "network.gradient(x, t)" in found.remarks[0]
    network.gradient(batch.x, batch.t % 2)
    assert network.summary().parameters == 24


class OwnGradient(TwoLayerNet):
    def gradient(self, x: object, t: object) -> dict[str, Any]:
        return super().gradient(x, t)


def test_a_network_that_fit_refuses() -> None:
    network = OwnGradient(12, 6, 4)
    with pytest.raises(TypeError) as refusal:
        fastnn.explain(network)
    found = network.summary()
    assert {row.runs for row in found.rows} == {"not by fit"}
    assert str(refusal.value) in found.remarks[-1]


def test_as_text_and_in_a_notebook() -> None:
    with fastnn.use_backend("numpy"):
        network = Sequential({"<b>": affine_of(np.ones((12, 4)), np.zeros(4)), "[red]": Relu()})
    found = network.summary()
    text = str(found)
    assert repr(found) == text
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 100
    assert text.splitlines()[0] == "Sequential on numpy, float64"
    assert "| <b>        | Affine(12 -> 4, float64) | (N, 4) |         52 | loop |" in text
    assert "52 parameters, 416 bytes in float64" in text
    assert network._repr_html_() == found._repr_html_()
    assert "&lt;b&gt;" in found._repr_html_()
    assert "<b>" not in found._repr_html_()
    rich = pytest.importorskip("rich.console")
    file = io.StringIO()
    rich.Console(file=file, width=80).print(found)
    assert "[red]" in file.getvalue()
    assert max(map(len, file.getvalue().splitlines())) <= 80


def test_large_networks_in_words() -> None:
    with fastnn.use_backend("numpy"):
        network = TwoLayerNet(784, 2000, 10)
    assert network.summary().remarks[0] == "1,590,010 parameters, 6.4 MB in float32"


def test_layers_and_networks_are_written_in_a_line(backend: Backend, batch: Batch) -> None:
    network = everything()
    network.gradient(batch.x, batch.t)
    for thing in (network, *network._all_layers()):
        assert len(repr(thing)) < 200
        assert "\n" not in repr(thing)
        assert backend.name in repr(thing)


def test_optimizers_and_batches_that_are_none(batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4)
    with pytest.raises(ValueError, match=r"\(N, 12\)"):
        network.summary(x=batch.x[:, :3])
    one = network.summary(x=batch.x[0]).rows
    assert [row.output for row in one] == ["(N, 6)", "(N, 6)", "(N, 4)", "()"]
    with fastnn.use_backend("numpy"):
        with_own = Sequential([Scale(np.ones(12))])
    assert with_own.summary(x=batch.x).rows[0].output == "(N, 12)"
