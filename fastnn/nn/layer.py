"""What a layer is, fastnn's own and any other with a `forward` and a `backward`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.selection import get_backend
from fastnn.checks import is_of_floats
from fastnn.nn.copies import arrived, attributes_of, carried, land, set_attributes, shallow
from fastnn.nn.validation import check_owned, check_real


class Layer:
    """What fastnn's layers have in common.

    Attributes
    ----------
    parameters : tuple of str
        Names of the attributes that training changes.
    state : tuple of str
        Names of arrays and numbers that the layer itself changes in training, such as running
        means. Like parameters they are moved, copied and saved with the network.
    options : tuple of str
        Names of the numbers that a layer is made with, which a file of it keeps.
    least_batch : int
        Samples that a batch has to have in training.
    backend : Backend
        Where the layer computes.
    """

    parameters: ClassVar[tuple[str, ...]] = ()
    state: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    least_batch: ClassVar[int] = 1
    backend: Backend

    def __init__(self) -> None:
        self.backend = get_backend()

    def forward(self, x: Array) -> Array:
        """Give the layer's output for a batch.

        fastnn's own layers also take ``for_backward``: with False they keep nothing, since no
        `backward` follows.
        """
        raise NotImplementedError

    def backward(self, dout: Array) -> Array:
        """Give the gradient by the input, from that by the output, and keep the parameters'."""
        raise NotImplementedError

    def check_state(self, attribute: str, array: Array, name: str) -> None:
        """Refuse an array of the state that no training gives, by a ValueError that names it."""

    def forget(self) -> None:
        """Drop what `forward` and `backward` kept, by setting attributes anew.

        Copies and pickles of a layer have forgotten. So a layer of your own that derives from this
        class, and keeps something, says here what that is.
        """

    def __getstate__(self) -> object:
        """Give what copies and pickles carry: all but the last batch and its gradients."""
        twin = shallow(self)
        twin.forget()
        left = what_is_kept(twin, type(self).__name__)
        return carried(attributes_of(twin), self.backend, left)

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_attributes(self, arrived(state))
        land(self, (*parameter_names(self), *state_names(self)), self.backend)

    def __repr__(self) -> str:
        backend = getattr(self, "backend", None)  # a subclass may have left out super().__init__()
        described = [] if backend is None else [*self._described(), backend.name]
        return f"{type(self).__name__}({', '.join(described)})"

    def _described(self) -> list[str]:
        """Say of what size and dtype the layer is, in a word each."""
        return []

    def _check(self, array: object, name: str) -> None:
        check_owned(array, self.backend, name, type(self).__name__)
        check_real(array, name)


def is_unmodified(layer: Any, cls: type[Layer]) -> bool:
    """Whether a layer is of this class of fastnn's: no subclass, and no method replaced."""
    return type(layer) is cls and not {"forward", "backward"} & vars(layer).keys()


def parameter_names(layer: Any) -> tuple[str, ...]:
    """Names of a layer's parameters, as far as they are known; see `names_its_parameters`."""
    names = getattr(layer, "parameters", ())
    if isinstance(names, str) or callable(names):
        given = f"the text {names!r}" if isinstance(names, str) else "a method"
        example = names if isinstance(names, str) else "W"
        raise TypeError(
            f"{type(layer).__name__}.parameters is {given}: name the parameters in a "
            f"tuple, ({example!r},)"
        )
    return tuple(names)


def names_its_parameters(layer: Any) -> bool:
    """Whether whoever wrote the layer's `backward` has also said what its parameters are.

    A class that has a `backward` of its own, and its ``parameters`` from fastnn's `Layer` or
    another class further up, has not: its backward may leave gradients that are not known there.
    """
    if "parameters" in attributes_of(layer):
        return True
    for cls in type(layer).__mro__:
        if "parameters" in vars(cls):
            return True
        if "backward" in vars(cls):
            return False
    return False


def state_names(layer: Any) -> tuple[str, ...]:
    """Names of a layer's state; one that does not derive from `Layer` has none that is known."""
    return type(layer).state if isinstance(layer, Layer) else ()


def arrays_of_floats(layer: Any) -> list[str]:
    """Name the attributes of a layer that are arrays of floats."""
    return [
        name
        for name, value in attributes_of(layer).items()
        if hasattr(value, "shape") and hasattr(value, "dtype") and is_of_floats(value)
    ]


WORTH_A_WARNING = 1 << 16
"""Bytes of a layer of the user's own that a pickle may hold before it warns, as of a toy."""


def kept_beside_parameters(layer: Any, made_with: Iterable[str] = ()) -> dict[str, Array]:
    """Give the arrays that a layer keeps and that are no parameters, nor gradients or state.

    Nor those that were there when the layer was made, as far as that is known.
    """
    known = {*parameter_names(layer), *state_names(layer), *made_with}
    known |= {f"d{name}" for name in known}
    return {
        attribute: value
        for attribute, value in attributes_of(layer).items()
        if attribute not in known and len(getattr(value, "shape", ())) > 0
    }


def what_is_kept(layer: Any, name: str, made_with: Iterable[str] = ()) -> str:
    """Name arrays that a layer of the user's own may keep of a batch, and that a pickle would hold.

    Those are all of `kept_beside_parameters` in two or more dimensions. A class that says what
    pickles of it hold keeps nothing.
    """
    if has_own_pickling(layer):
        return ""
    arrays = kept_beside_parameters(layer, made_with).items()
    kept = {attribute: array for attribute, array in arrays if len(array.shape) > 1}
    if sum(getattr(array, "nbytes", 0) for array in kept.values()) < WORTH_A_WARNING:
        return ""
    described = [f"{attribute} {tuple(array.shape)}" for attribute, array in kept.items()]
    return f"{name} ({', '.join(described)})"


def has_own_pickling(layer: Any) -> bool:
    """Whether the class of a layer says itself what copies and pickles hold."""
    cls: Any = type(layer)
    base: Any = Layer if isinstance(layer, Layer) else object
    if base is Layer and cls.forget is not Layer.forget:
        return True
    names = ("__getstate__", "__reduce__", "__reduce_ex__")
    return any(getattr(cls, name) is not getattr(base, name) for name in names)


def names_to_move(layer: Any) -> tuple[str, ...]:
    """Names of the arrays that go where the layer goes: its parameters.

    While it is not known which these are, all its arrays of floats go.
    """
    names = parameter_names(layer)
    if names_its_parameters(layer):
        return names
    return (*names, *[name for name in arrays_of_floats(layer) if name not in names])


def named_owners(layers: list[Any], names: list[tuple[str, ...]]) -> dict[str, tuple[Any, str]]:
    """Number the names of several layers: for W1, b1, W2, ..., the layer and the attribute."""
    counts: dict[str, int] = {}
    owners: dict[str, tuple[Any, str]] = {}
    for layer, attributes in zip(layers, names, strict=True):
        for attribute in attributes:
            counts[attribute] = counts.get(attribute, 0) + 1
            owners[f"{attribute}{counts[attribute]}"] = (layer, attribute)
    return owners


def gradient_of(layer: Any, name: str) -> Array:
    """Give the gradient that a layer's `backward` left for one of its parameters.

    Raises
    ------
    AttributeError
        If there is none.
    ValueError
        If it has another shape, in which it would be broadcast.
    """
    gradient = getattr(layer, f"d{name}", None)
    if gradient is None:
        raise AttributeError(
            f"{type(layer).__name__} names the parameter {name!r}, but its backward has left no "
            f"gradient in d{name}"
        )
    found, expected = getattr(gradient, "shape", ()), getattr(layer, name).shape
    if found != expected:
        raise ValueError(
            f"backward of {type(layer).__name__} has left a gradient d{name} of shape "
            f"{tuple(found)}, and the parameter {name!r} has {tuple(expected)}"
        )
    return gradient


def kept_by_forward(kept: Array, layer: str) -> Array:
    if kept is None:
        raise RuntimeError(
            f"{layer}: call forward before backward (network.predict keeps nothing for it; "
            "network.loss does, and network.predict(x, train_flg=True))"
        )
    return kept


def check_shape(dout: Array, expected: tuple[int, ...], layer: str) -> None:
    if tuple(dout.shape) != expected:
        raise ValueError(f"{layer}: dout has shape {tuple(dout.shape)}, the output had {expected}")
