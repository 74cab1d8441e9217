"""The parameters of a network, by name."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from fastnn.backends.base import Array
from fastnn.validation import check_real, own_array

if TYPE_CHECKING:
    from fastnn.sequential import Sequential


class Parameters(MutableMapping[str, Array]):
    """The parameters of a network by name, as a live view.

    ``params["W1"]`` is the array that the layer computes with, so ``params["W1"] -= g`` takes
    effect. So does ``params["W1"] = new``: a copy of `new` is brought to the network's device and
    dtype, and refused if its shape is another.
    """

    def __init__(self, network: Sequential) -> None:
        self._network = network

    def __getitem__(self, name: str) -> Array:
        layer, attribute = self._owner(name)
        return getattr(layer, attribute)

    def __setitem__(self, name: str, value: object) -> None:
        layer, attribute = self._owner(name)
        current = getattr(layer, attribute)
        if value is current:
            return
        backend = self._network.backend
        array = own_array(value, backend)
        check_real(array, name)
        if tuple(array.shape) != tuple(current.shape):
            raise ValueError(
                f"parameter {name!r} has shape {tuple(current.shape)}, "
                f"the new value {tuple(array.shape)}"
            )
        setattr(layer, attribute, backend.copy(backend.asarray(array, self._network.dtype)))

    def __delitem__(self, name: str) -> None:
        raise TypeError("a network's parameters cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._network.owners())

    def __len__(self) -> int:
        return len(self._network.owners())

    def __repr__(self) -> str:
        return repr({name: tuple(array.shape) for name, array in self.items()})

    def _owner(self, name: str) -> tuple[Any, str]:
        owners = self._network.owners()
        owner = owners.get(name)
        if owner is None:
            raise KeyError(f"no parameter {name!r}: the network has {', '.join(owners) or 'none'}")
        return owner
