"""What a network is made of cannot be assigned: the error says which call does what was meant."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, Relu, Sequential, TwoLayerNet


class Own(Sequential):
    """A network of a user's, with attributes of its own, by names much like those."""

    def __init__(self, size: int) -> None:
        layers = [Affine(np.ones((size, 3), "f4"), np.zeros(3, "f4")), Relu()]
        super().__init__(layers)
        self.size, self._layer, self.history = size, layers[0], [1.5]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("dtype", "float64", r"network\.astype\('float64'\)"),
        ("dtype", np.float32, r"network\.astype\('float64'\)"),
        ("backend", "numba", r"network\.to\('numba'\)"),
        ("backend", "cupy:1", r"network\.to\('cupy:1'\)"),
        ("backend", None, r"network\.to\('numba'\)"),
        ("layers", [Relu()], r"fastnn\.Sequential\(layers, network\.last_layer\)"),
    ],
)
def test_what_is_assigned_says_what_to_do(name: str, value: Any, words: str) -> None:
    network = TwoLayerNet(4, 3, 2, seed=0)
    before = getattr(network, name)
    with pytest.raises(AttributeError, match=rf"^{name} cannot be assigned: .*{words}"):
        setattr(network, name, value)
    assert getattr(network, name) is before


def test_copies_and_pickles_of_a_user_s_own_network(tmp_path: Path) -> None:
    network = Own(4)
    network.to("numpy").astype("float64")
    for made in (network.copy(), copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert (made.size, made.history) == (4, [1.5])
        assert (made.dtype, made.backend.name) == ("float64", "numpy")
        assert list(made.layers) == ["Affine1", "Relu1"]
        assert made._layer is made.layers["Affine1"] is not network.layers["Affine1"]
        made.params["W1"] += 1
        assert network.params["W1"][0, 0] == 1
        with pytest.raises(AttributeError, match="dtype cannot be assigned"):
            made.dtype = "float32"
    network.save(tmp_path / "network")
    assert list(fastnn.Sequential.load(tmp_path / "network").layers) == ["Affine1", "Relu1"]
