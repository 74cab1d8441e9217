"""Layers made from what a file holds of them."""

from __future__ import annotations

from os import PathLike
from typing import Any

from fastnn.backends.selection import get_backend
from fastnn.checks import check_count, common_dtype
from fastnn.errors import CorruptFileError
from fastnn.nn.layer import Layer
from fastnn.nn.saving import LAYER_KINDS, LOSS_KINDS, OF_YOUR_OWN, name_of_state
from fastnn.nn.storage import SavedNetwork


def check_buildable(saved: SavedNetwork, path: str | PathLike[str]) -> None:
    """Refuse to make a network of layers that are not fastnn's own."""
    unknown = {kind for _, kind in saved.layers} - LAYER_KINDS.keys()
    unknown |= {saved.last_layer} - LOSS_KINDS.keys()
    if unknown:
        named = ", ".join(sorted(kind.removesuffix(OF_YOUR_OWN) for kind in unknown))
        raise ValueError(
            f"{path} holds layers of your own ({named}): "
            "make the network first, then network.load(path)"
        )


def build_layers(saved: SavedNetwork, path: str | PathLike[str]) -> dict[str, Any]:
    """Make the layers that a file holds, on the active backend, in the dtype of the file."""
    parts = _parts(saved, path)
    _check_shapes(path, saved, parts)
    backend, dtype = get_backend(), common_dtype(saved.arrays.values())
    layers: dict[str, Any] = {}
    for name, kind in saved.layers:
        cls, (parameters, state, numbers) = LAYER_KINDS[kind], parts[name]
        arrays = {
            attribute: backend.copy(backend.asarray(saved.arrays[full_name], dtype))
            for attribute, full_name in {**parameters, **state}.items()
        }
        own = {attribute: arrays.pop(attribute) for attribute in state}
        try:
            counts = {
                key: check_count(number, key, least=0)
                for key, number in numbers.items()
                if key in cls.state
            }
            layers[name] = cls(**arrays, **{key: numbers[key] for key in cls.options})
        except (TypeError, ValueError) as error:
            raise CorruptFileError(f"{path} holds a {kind} that cannot be: {error}") from error
        for attribute, value in {**own, **counts}.items():
            setattr(layers[name], attribute, value)
    return layers


def build_loss(saved: SavedNetwork) -> Layer:
    """Make the loss that a file names, on the active backend."""
    return LOSS_KINDS[saved.last_layer]()


Parts = tuple[dict[str, str], dict[str, str], dict[str, float]]
"""Of a layer, by attribute: its parameters and the arrays of its state, as the file calls them, and
its numbers."""


def _parts(saved: SavedNetwork, path: str | PathLike[str]) -> dict[str, Parts]:
    """Give for each layer what its arrays are called in the file, and its numbers.

    A file that holds more or less is refused.
    """
    counts: dict[str, int] = {}
    parts: dict[str, Parts] = {}
    whole = len(dict(saved.layers)) == len(saved.layers)
    for name, kind in saved.layers:
        cls, numbers = LAYER_KINDS[kind], dict((saved.numbers or {}).get(name, {}))
        parameters = {}
        for attribute in cls.parameters:
            counts[attribute] = counts.get(attribute, 0) + 1
            parameters[attribute] = f"{attribute}{counts[attribute]}"
        state = {key: name_of_state(name, key) for key in cls.state if key not in numbers}
        whole = whole and numbers.keys() | state.keys() == {*cls.options, *cls.state}
        parts[name] = parameters, state, numbers
    wanted = {full for one in parts.values() for some in one[:2] for full in some.values()}
    if not whole or wanted != saved.arrays.keys() or (saved.numbers or {}).keys() - parts.keys():
        raise CorruptFileError(f"{path} holds {sorted(saved.arrays)} for the layers {saved.layers}")
    return parts


def _check_shapes(path: str | PathLike[str], saved: SavedNetwork, parts: dict[str, Parts]) -> None:
    """Check that each layer takes as many numbers as the one before it gives."""
    before: tuple[str, int] | None = None
    for name, kind in saved.layers:
        parameters, state, _ = parts[name]
        names = [*parameters.values(), *state.values()]
        if not names:
            continue
        shapes = {full_name: saved.arrays[full_name].shape for full_name in names}
        takes, gives = _widths(path, shapes) if kind == "Affine" else _width(path, shapes)
        if before is not None and takes != before[1]:
            raise CorruptFileError(
                f"{path} holds {names[0]} of shape {shapes[names[0]]}, which does not follow "
                f"{before[0]}: that gives {before[1]} numbers"
            )
        before = names[0], gives


Shapes = dict[str, tuple[int, ...]]


def _widths(path: str | PathLike[str], shapes: Shapes) -> tuple[int, int]:
    """Give how many numbers an Affine layer takes and gives."""
    (weights, W), (biases, b) = shapes.items()
    if len(W) != 2 or 0 in W or b != W[1:]:
        raise CorruptFileError(
            f"{path} holds {weights} of shape {W} and {biases} of shape {b}: "
            "expected (D, M) and (M,), at least 1 each"
        )
    return W[0], W[1]


def _width(path: str | PathLike[str], shapes: Shapes) -> tuple[int, int]:
    """The same of a layer whose arrays have a number for each unit."""
    (units, *_) = shapes.values()
    if len(units) != 1 or 0 in units or any(shape != units for shape in shapes.values()):
        raise CorruptFileError(f"{path} holds {shapes}: expected (D,), D at least 1, for all")
    return units[0], units[0]
