"""The weights of a layer as a picture: what each unit looks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.checks import check_count
from fastnn.nn.layers import Affine
from fastnn.nn.sequential import Sequential
from fastnn.wording import did_you_mean, shown

if TYPE_CHECKING:
    from fastnn.picture import Picture

UNITS = 64
"""Units that are drawn of a layer that has more."""


def plot_weights(
    network: Sequential,
    layer: str | None = None,
    *,
    shape: tuple[int, int] | None = None,
    units: int = UNITS,
) -> Picture:
    """Draw the weights of a layer: red what raises a unit, blue what lowers it.

    Parameters
    ----------
    network : Sequential
        On any backend.
    layer : str, optional
        The name of an Affine layer, as in ``network.layers``; by default the first one.
    shape : (int, int), optional
        Rows and columns of the pictures that go into the layer, by default those of a square. Where
        the inputs are no pictures, the weights are drawn as the matrix that they are.
    units : int, optional
        Draw at most so many units, the first ones.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; ``savefig(path)`` writes it. One scale of colours, around 0, holds for
        all units.

    Raises
    ------
    ImportError
        If matplotlib is not installed, the extra ``plot``.
    TypeError
        If `network` is no network, or `units` or `shape` no integers.
    ValueError
        If there is no such layer, it has no weights, or the inputs are no pictures of that shape.
    """
    from fastnn.picture import Picture
    from fastnn.reports.picture import image_shape, mosaic

    if not isinstance(network, Sequential):
        raise TypeError(
            f"network must be one of fastnn's, such as TwoLayerNet, got {shown(network)}"
        )
    count = check_count(units, "units")
    name = _first_affine(network) if layer is None else layer
    weights = _weights(network, name)
    features = len(weights)
    if shape is not None:
        rows, columns = (check_count(size, "shape") for size in shape)
        if rows * columns != features:
            raise ValueError(
                f"shape {(rows, columns)} has {rows * columns} pixels, and layer {name!r} takes "
                f"{features} inputs"
            )
        shape = rows, columns
    picture_shape = image_shape(features) if shape is None else shape
    some = weights[:, :count]
    finite = np.abs(some[np.isfinite(some)])
    scale = float(finite.max(initial=0)) or 1.0
    if picture_shape is None:
        drawn, what = some.T, "unit by input"
    else:
        images = np.reshape(some.T, (-1, *picture_shape))
        drawn = mosaic(images, columns=int(np.ceil(np.sqrt(len(images)))))
        what = f"{some.shape[1]} of {weights.shape[1]} units"
    figure = Picture(figsize=(8, 8 if picture_shape else 5), layout="constrained")
    axes = figure.subplots()
    pixels = axes.imshow(drawn, cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest")
    axes.set_aspect("equal" if picture_shape else "auto")
    axes.set_title(f"Weights of {name}: {what}")
    if picture_shape is None:
        axes.set(xlabel="input", ylabel="unit")
    else:
        axes.set_axis_off()
    figure.colorbar(pixels, ax=axes, shrink=0.6)
    return figure


def _first_affine(network: Sequential) -> str:
    for name, layer in network.layers.items():
        if isinstance(layer, Affine):
            return name
    raise ValueError(f"{network!r} has no Affine layer: name one that has weights W in `layer`")


def _weights(network: Sequential, name: str) -> np.ndarray[Any, Any]:
    """Give the weights (D, M) of a layer on the host."""
    if name not in network.layers:
        raise ValueError(
            f"there is no layer {shown(name)}: the network has {', '.join(network.layers)}"
            f"{did_you_mean(str(name), network.layers)}"
        )
    W = getattr(network.layers[name], "W", None)
    if W is None or len(getattr(W, "shape", ())) != 2:
        raise ValueError(f"layer {name!r} has no weights W (inputs, units) to draw")
    return network.backend.to_numpy(W)
