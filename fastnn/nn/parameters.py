"""The parameters of a network, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.checks import is_read_only
from fastnn.nn.found_parameters import check_names, name_after, without_names
from fastnn.nn.network import NamedLayers
from fastnn.nn.validation import check_real, real_array
from fastnn.wording import shortened


class Parameters(MutableMapping[str, Array]):
    """The parameters of a network by name, as a live view.

    ``params["W1"]`` is the array that the layer computes with, so ``params["W1"] -= g`` takes
    effect. So does ``params["W1"] = new``: a copy of `new` is brought to the network's device and
    dtype, and refused if its shape is another. ``network.params = {...}`` sets all of them.
    """

    def __init__(self, network: NamedLayers) -> None:
        self._network = network

    def __getitem__(self, name: str) -> Array:
        layer, attribute = self._owner(name)
        return getattr(layer, attribute)

    def __setitem__(self, name: str, value: object) -> None:
        lock = self._network._network_lock
        with lock.alone:
            lock.check_may_change("parameters")
            layer, attribute = self._owner(name)
            setattr(layer, attribute, self._fitting(name, value))

    def assign(self, values: Mapping[str, object]) -> None:
        """Set all parameters, or none if one does not fit: ``network.params = ...``.

        Parameters
        ----------
        values : mapping of str to array_like
            For each parameter a new value of its shape, such as ``network.params.copy()`` gave, the
            params of another network, or what `numpy.load` gives. Copies are taken.

        Raises
        ------
        TypeError
            If `values` is no mapping, or holds something else than real numbers.
        KeyError
            If a parameter is missing, or a name is of none.
        ValueError
            If a shape is another.
        """
        if not isinstance(values, Mapping):
            raise TypeError(
                "params must be a dictionary of arrays by name, such as network.params.copy(), "
                f"got a {type(values).__name__}"
            )
        name_after(self._network, values)
        owners = self._network.owners()
        missing, unknown = owners.keys() - values.keys(), values.keys() - owners.keys()
        if missing or unknown:
            wrong = [
                f"{what} {', '.join(sorted(map(repr, names)))}"
                for what, names in (("without", missing), ("with unknown", unknown))
                if names
            ]
            raise KeyError(
                f"params {' and '.join(wrong)}: the network has {_listed(owners)}; to set some of "
                "them write network.params.update(...)"
            )
        lock = self._network._network_lock
        with lock.alone:
            lock.check_may_change("parameters")
            new = {name: self._fitting(name, values[name]) for name in owners}
            for name, (layer, attribute) in owners.items():
                setattr(layer, attribute, new[name])

    def copy(self) -> dict[str, Array]:
        """Give a snapshot: a dictionary with a copy of each parameter, which no training changes.

        The arrays are on the network's device. ``network.params = snapshot`` brings them back;
        ``dict(network.params)`` has the layers' own arrays.

        Raises
        ------
        ValueError
            If it is not known which arrays are the parameters of a layer.
        """
        check_names(self._network, "params were not copied")
        backend = self._network.backend
        with self._network._network_lock.alone, backend.current():
            return {name: backend.copy(array) for name, array in self.items()}

    __copy__ = copy

    def _fitting(self, name: str, value: object) -> Array:
        """Give a copy of a value as the network has it; refuse what does not fit.

        The parameter itself stays: so does ``params["W1"] -= g``.
        """
        layer, attribute = self._owner(name)
        current = getattr(layer, attribute)
        if value is current:
            return current
        shape, backend = tuple(current.shape), self._network.backend
        array = real_array(value, backend, name)
        if tuple(array.shape) != shape:
            raise ValueError(
                f"parameter {name!r} has shape {shape}, the new value {tuple(array.shape)}"
            )
        return backend.copy(backend.asarray(array, self._network.dtype))

    def __delitem__(self, name: str) -> None:
        raise TypeError("a network's parameters cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._network.owners())

    def __len__(self) -> int:
        return len(self._network.owners())

    def __repr__(self) -> str:
        shapes = [f"{name!r}: {tuple(array.shape)}" for name, array in self.items()]
        return f"{{{', '.join(shortened(shapes))}}}"

    def _owner(self, name: str) -> tuple[Any, str]:
        owners = self._network.owners()
        owner = owners.get(name)
        if owner is None:
            unknown = without_names(self._network)
            hint = ""
            if unknown:
                hint = (
                    f"; of the layers {unknown} it is not known yet which arrays are parameters: "
                    "network.gradient(x, t) finds out, or say so in the class, parameters = (...)"
                )
            raise KeyError(f"no parameter {name!r}: the network has {_listed(owners)}{hint}")
        return owner


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def problem_with_parameters(
    arrays: Mapping[str, Any],
    before: Mapping[str, Array],
    trained: Mapping[str, Array],
    backend: Backend,
) -> Exception | None:
    """Say why arrays that were put in the place of parameters cannot be trained; None if they can.

    Parameters
    ----------
    arrays : mapping of str to anything
        What the layers hold now.
    before : mapping of str to array
        What they held; it shares no memory. Its shape and dtype may have been set since.
    trained : mapping of str to array
        What is trained, which nobody else has.
    backend : Backend
        The network's.
    """
    for name, array in arrays.items():
        shape = tuple(trained[name].shape)
        words = f"a callback made parameter {name!r} "
        remedy = f"; the network is as it was. Set it by network.params[{name!r}] = ..."
        if not backend.owns(array):
            kind = f"{type(array).__module__}.{type(array).__qualname__}"
            return TypeError(f"{words}a {kind}, no array of the {backend.name} backend{remedy}")
        try:
            check_real(array, name)
        except TypeError as error:
            return TypeError(f"{words}an array that cannot be trained: {error}{remedy}")
        if tuple(array.shape) != shape:
            return ValueError(f"{words}an array of shape {tuple(array.shape)}, not {shape}{remedy}")
        if array is before[name] and array.dtype != trained[name].dtype:
            return ValueError(f"{words}an array of {array.dtype} out of the same bytes{remedy}")
        if is_read_only(array):
            return ValueError(f"{words}an array that is read-only{remedy}")
        if array is not before[name]:
            for other, another in arrays.items():
                if other != name and backend.share_memory(array, another):
                    return ValueError(f"{words}share memory with {other!r}{remedy}")
    return None
