"""The numerical gradient of a network: the definition, with less work.

``(loss(p + h) - loss(p - h)) / (2 h)`` for every entry ``p`` of every parameter, in float64. Taken
literally that is two whole evaluations for each of a network's parameters. But ``W[i, j]`` of an
Affine layer moves only column ``j`` of what the layer gives, by ``h * x[:, i]``. So for one ``j``
the losses of all ``i`` are evaluated at once, as one large batch that starts at this column; an
Affine layer that comes next adds ``(column' - column) * W[j]`` to what it gave before. Weights of
features that are zero in every sample, six of ten of MNIST's in three images, move it alike, by
nothing: one is evaluated for all. The differences are those of the definition, up to rounding.

This holds for layers that treat samples and features as ReLU and Affine do, and for Dropout, whose
mask is held. A network with any other layer, such as batch normalisation, in which all samples
move each, is evaluated literally. Both is in training mode, as the gradient is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.chunks import chunks
from fastnn.nn.activations import ACTIVATIONS
from fastnn.nn.dropout import Dropout
from fastnn.nn.layer import Layer, is_unmodified
from fastnn.nn.layers import Affine
from fastnn.nn.losses import LOSSES
from fastnn.nn.modes import call, check_repeatable, hold_draws
from fastnn.nn.network import Network
from fastnn.nn.numerical_gradient import STEP, numerical_gradient

ENTRIES = 1 << 21
"""Numbers that one chunk of the large batch may hold, which bounds its memory (16 MB)."""


def network_numerical_gradient(
    network: Network, x: object, t: object, *, h: float = STEP
) -> dict[str, Array]:
    """Numerical gradient by every parameter; see `Sequential.numerical_gradient`."""
    network.find_parameters(x, t)
    twin = network.copy().astype("float64")
    hold_draws(twin)
    layers = list(twin.layers.values())
    separable = twin.replaced_method("loss") is None and _separable(layers, twin.last_layer)
    if separable and twin.backend.on_host:
        twin.to("numpy")  # as fast here, and nothing that is checked has a part in it
    # Checks x and t, and leaves what every layer was given; a subclass may know of no mode.
    twin.loss(x, t, *([True] if separable else []))
    if separable:
        gradients: dict[int, tuple[Array, Array]] = {
            id(layer): _affine_gradient(twin, layers, position, h)
            for position, layer in enumerate(layers)
            if isinstance(layer, Affine)
        }
        found = {
            name: gradients[id(layer)][0 if attribute == "W" else 1]
            for name, (layer, attribute) in twin.owners().items()
        }
        for name, W in twin.decayed().items():  # whose squares no difference has rounded
            found[name] = found[name] + twin.weight_decay_lambda * W
        return found
    check_repeatable(twin, x, t)

    def loss(_: Array) -> Any:
        return call(twin.loss, x, t)  # in training; that of a subclass may know of no mode

    return {name: numerical_gradient(loss, array, h=h) for name, array in twin.params.items()}


def _separable(layers: list[Any], last_layer: Any) -> bool:
    known: tuple[type[Layer], ...] = (Affine, Dropout, *ACTIVATIONS)
    return any(is_unmodified(last_layer, cls) for cls in LOSSES) and all(
        any(is_unmodified(layer, cls) for cls in known) for layer in layers
    )


def _affine_gradient(
    network: Network, layers: list[Any], position: int, h: float
) -> tuple[Array, Array]:
    backend, layer = network.backend, layers[position]
    xp = backend.xp
    x = layer.x
    given = backend.affine(x, layer.W, layer.b)
    ones = xp.ones((1, x.shape[0]), dtype=x.dtype, device=backend.device)
    # The bias is the weight of a feature that is always 1.
    features = xp.concat([xp.matrix_transpose(x), ones], axis=0)
    different, place = _without_repeated_zeros(backend, features)
    columns = [
        xp.concat(list(_column_gradient(network, layers[position + 1 :], given, different, j, h)))
        for j in range(given.shape[1])
    ]
    gradient = xp.take(xp.stack(columns, axis=1), place, axis=0)
    return gradient[:-1, :], gradient[-1, :]


def _without_repeated_zeros(backend: Backend, features: Array) -> tuple[Array, Array]:
    """Give the rows that are not all zeros, and one that is; and where each row is among them."""
    xp = backend.xp
    moving = xp.any(features != 0, axis=1)
    rows = xp.nonzero(moving)[0]
    all_rows = xp.arange(features.shape[0], dtype=rows.dtype, device=backend.device)
    last = xp.full_like(all_rows, rows.shape[0])
    place = xp.where(moving, xp.searchsorted(rows, all_rows), last)
    zeros = xp.zeros_like(features[:1, :])
    return xp.concat([xp.take(features, rows, axis=0), zeros], axis=0), place


def _column_gradient(
    network: Network, behind: list[Any], given: Array, features: Array, j: int, h: float
) -> Iterator[Array]:
    """Gradients by the weights that reach unit `j` of a layer that gave `given`, chunk by chunk."""
    backend = network.backend
    xp = backend.xp
    samples = given.shape[0]
    # The layers up to the next Affine act on column j alone.
    column, activated, rest = given[:, j], given, behind
    while rest and not isinstance(rest[0], Affine):
        column = _through(backend, rest[0], column, j)
        activated, rest = _through(backend, rest[0], activated), rest[1:]
    if rest:
        base = backend.affine(activated, rest[0].W, rest[0].b)
        direction = rest[0].W[j, :]
    else:
        base = activated
        place = xp.arange(given.shape[1], device=backend.device) == j
        direction = xp.astype(place, given.dtype)
    activations = behind[: len(behind) - len(rest)]
    widths = [base.shape[1], *[layer.W.shape[1] for layer in rest if isinstance(layer, Affine)]]
    at_once = max(1, ENTRIES // (2 * samples * max(widths)))
    for some in chunks(features.shape[0], at_once):
        shift = h * features[some, :]
        moved = xp.stack([given[:, j] + shift, given[:, j] - shift])
        for layer in activations:
            moved = _through(backend, layer, moved, j)
        scores = base + (moved - column)[..., None] * direction
        scores = xp.reshape(scores, (-1, base.shape[1]))
        for layer in rest[1:]:
            scores = _through(backend, layer, scores)
        count, t = scores.shape[0] // samples, network.last_layer.t
        losses, _ = network.last_layer.losses(scores, xp.tile(t, (count, *[1] * (t.ndim - 1))))
        losses = xp.mean(xp.reshape(losses, (2, -1, samples)), axis=2)
        yield (losses[0, :] - losses[1, :]) / (2 * h)


def _through(backend: Any, layer: Any, x: Array, unit: int | None = None) -> Array:
    """Give what a layer makes of (batches * N, D), the samples again and again, or (..., N)."""
    if isinstance(layer, Affine):
        return backend.affine(x, layer.W, layer.b)
    if isinstance(layer, Dropout):
        mask = backend.xp.astype(layer.mask, x.dtype)
        if unit is not None:
            return x * mask[:, unit]
        batches = backend.xp.reshape(x, (-1, *mask.shape))
        return backend.xp.reshape(batches * mask, x.shape)
    return layer.forward(x, for_backward=False)
