"""Pictures of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import MultiLayerNet, Relu, Sequential, TwoLayerNet, plot_weights
from fastnn.backends import Backend
from fastnn.reports.picture import image_shape, mosaic
from tests.helpers.problems import affine_of


def drawn(figure: Any) -> Any:
    """Give the numbers that a picture shows, NaN where it is white."""
    return np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)


def test_units_are_pictures_side_by_side(backend: Backend) -> None:
    W = np.arange(9 * 5, dtype="float32").reshape(9, 5) - 20
    network = Sequential([affine_of(W, np.zeros(5, "float32"))])
    figure = plot_weights(network)
    shown = drawn(figure)
    assert shown.shape == (2 * 3 + 1, 3 * 3 + 2)
    np.testing.assert_array_equal(shown[:3, :3], W[:, 0].reshape(3, 3))
    np.testing.assert_array_equal(shown[4:, 4:7], W[:, 4].reshape(3, 3))
    assert np.isnan(shown[3]).all()
    assert np.isnan(shown[4:, 8:]).all()
    assert figure.axes[0].images[0].get_clim() == (-24, 24)
    assert figure.axes[0].get_title() == "Weights of Affine1: 5 of 5 units"


def test_other_layers_shapes_and_fewer_units() -> None:
    network = MultiLayerNet(6, [4, 3], 2, seed=0)
    assert drawn(plot_weights(network, shape=(2, 3), units=1)).shape == (2, 3)
    assert "1 of 4 units" in plot_weights(network, shape=(2, 3), units=1).axes[0].get_title()
    second = drawn(plot_weights(network, "Affine2"))
    assert second.shape == (2 * 2 + 1, 2 * 2 + 1)
    matrix = drawn(plot_weights(network))  # six inputs are no square
    np.testing.assert_array_equal(matrix, fastnn.to_numpy(network.params["W1"]).T)


def test_a_notebook_shows_it() -> None:
    content = plot_weights(TwoLayerNet(784, 50, 10, seed=0))._repr_png_()
    assert content.startswith(b"\x89PNG")


def test_weights_that_diverged_or_are_zero() -> None:
    network = TwoLayerNet(4, 3, 2, seed=0)
    network.params["W1"] = np.full((4, 3), np.nan)
    assert plot_weights(network).axes[0].images[0].get_clim() == (-1, 1)
    network.params["W1"] = np.zeros((4, 3))
    plot_weights(network).png()


def test_what_cannot_be_drawn() -> None:
    network = TwoLayerNet(6, 3, 2)
    with pytest.raises(ValueError, match=r"no layer 'Affine3': .*did you mean 'Affine"):
        plot_weights(network, "Affine3")
    with pytest.raises(ValueError, match="layer 'Relu1' has no weights W"):
        plot_weights(network, "Relu1")
    with pytest.raises(ValueError, match=r"\(2, 2\) has 4 pixels, and layer 'Affine1' takes 6"):
        plot_weights(network, shape=(2, 2))
    with pytest.raises(ValueError, match="has no Affine layer"):
        plot_weights(Sequential([Relu()]))
    with pytest.raises(TypeError, match="network must be one of fastnn's"):
        plot_weights(network.params)  # type: ignore[arg-type]
    for wrong in (0, 1.5):
        with pytest.raises((TypeError, ValueError), match="units"):
            plot_weights(network, units=wrong)  # type: ignore[arg-type]


def test_helpers() -> None:
    assert image_shape(784) == (28, 28)
    assert image_shape(785) is image_shape(1) is None
    np.testing.assert_array_equal(mosaic(np.ones((2, 1, 2)), 2), [[1, 1, np.nan, 1, 1]])
