"""``fastnn predict`` by networks that say the same of any picture, and by others that nearly do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.datasets.shipped import MNIST_DIRECTORY
from tests.helpers.command import run

DIGITS = Path(__file__).parents[2] / "examples" / "digits"


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_predict_by_a_network_that_says_the_same_of_any_picture(
    tmp_path: Path, activation: str
) -> None:
    """Of finite numbers, which is how a training ends that has diverged and killed its units."""
    network = fastnn.MultiLayerNet(784, [50, 40], 10, activation, seed=0)
    network.params["b3"][4] = 9
    path, picture = tmp_path / "network", DIGITS / "7_dark_on_light.png"
    network.save(path)
    run("predict", path, picture)  # it is only not trained
    network.params["b2"][...] = -1e4
    network.save(path)
    with pytest.raises(
        ValueError, match=r"network answers 4 with probability 0\..* to any picture"
    ):
        run("predict", path, picture)
    with pytest.raises(ValueError, match="train again, with a smaller learning rate"):
        run("predict", path, MNIST_DIRECTORY / "t10k-images-idx3-ubyte")


def test_a_training_that_kills_all_units_is_told_by_predict(tmp_path: Path) -> None:
    out, picture = tmp_path / "out", DIGITS / "4_transparent.png"
    quick = ["train", "--epochs", 1, "--seed", 0, "--backend", "numpy", "--no-progress"]
    run(*quick, "--lr", 50, "--out", out)
    assert np.isfinite(json.loads((out / "history.json").read_text("utf-8"))["losses"]).all()
    with pytest.raises(ValueError, match="to any picture, even to an empty one"):
        run("predict", out / "network.safetensors", picture)


def test_networks_that_have_learnt_little_answer(tmp_path: Path) -> None:
    """A network of one unit, one that is nearly dead, and one with large scores."""
    picture = DIGITS / "4_transparent.png"
    for hidden, bias, scale in ((1, 0.0, 1e-6), (50, -0.3, 1.0), (50, 0.0, 1e6)):
        network = fastnn.TwoLayerNet(784, hidden, 10, 0.05, seed=3)
        network.params["b1"][...] = bias
        network.params["W2"] *= scale
        network.save(tmp_path / "network")
        assert run("predict", tmp_path / "network", picture).stdout.startswith("0 ")
