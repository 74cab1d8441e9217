"""Layers with names as one thing: their parameters, where they are, copies of them, files."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import Any, Self

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.selection import get_backend, resolve
from fastnn.checks import check_dtype, common_dtype
from fastnn.nn.building import build_layers, build_loss, check_buildable
from fastnn.nn.copies import (
    DeviceArray,
    arrived,
    attributes_of,
    carried,
    land,
    set_attributes,
    shallow,
)
from fastnn.nn.entry import alone_at_entry
from fastnn.nn.found_parameters import name_after
from fastnn.nn.handed_over import let_go, remember, warn_of_copies
from fastnn.nn.last_batch import of_the_last_batch
from fastnn.nn.layer import (
    Layer,
    arrays_of_floats,
    has_own_pickling,
    named_owners,
    names_its_parameters,
    names_to_move,
    parameter_names,
    what_is_kept,
)
from fastnn.nn.layers import Affine
from fastnn.nn.lock import NetworkLock
from fastnn.nn.loss import Loss
from fastnn.nn.losses import SoftmaxWithLoss
from fastnn.nn.parameters import Parameters
from fastnn.nn.placing import copy_layer, place_layer
from fastnn.nn.saving import (
    LoadMethod,
    check_fits,
    parameters_in,
    read_saved,
    restore,
    saved_form,
)
from fastnn.nn.state_dict import set_state, state_of
from fastnn.nn.storage import SavedNetwork, write_network
from fastnn.nn.validation import (
    real_array,
)
from fastnn.wording import shortened, shown


class NetworkOfLayers:
    """What `Sequential` is apart from what it computes; see there for the attributes."""

    _owners: tuple[list[Any], list[tuple[str, ...]], Mapping[str, tuple[Any, str]]] = [], [], {}
    """What `owners` gave last, and the layers and names for which it holds.

    Without it `gradient` takes 13 us longer, 8 %, and `SGD.update` 65 us for 38 (784-50-10)."""
    _unnamed: frozenset[int] = frozenset()
    """The layers, by `id`, among those of `_owners` whose class does not name its parameters."""
    weight_decay_lambda: float = 0.0
    """The loss of the network has ``weight_decay_lambda / 2 * sum(W**2)`` of each Affine layer."""
    made_with: Mapping[str, frozenset[str]]
    """The arrays that layers of the user's own had when the network was made, by their names."""

    def __init__(
        self, layers: Iterable[Any] | Mapping[str, Any], last_layer: Any | None = None
    ) -> None:
        self._network_lock = NetworkLock()
        self.differentiated = False  # that is, whether a backward pass has shown the parameters
        self._layers = _named(layers)
        self.last_layer = SoftmaxWithLoss() if last_layer is None else last_layer
        _check_layer(self.last_layer, "last_layer")
        own = [layer for layer in self.layers.values() if isinstance(layer, Layer)]
        backends = {layer.backend for layer in own}
        if len(backends) > 1:
            names = ", ".join(sorted(backend.name for backend in backends))
            raise ValueError(f"the layers were made on several backends: {names}; make them on one")
        self._backend: Backend = backends.pop() if backends else get_backend()
        owners = self._arrays_to_move()
        arrays = [real_array(getattr(*owner), self.backend, name) for name, owner in owners.items()]
        self._dtype = common_dtype(arrays) if arrays else "float32"
        del arrays  # which nobody but the layers and their maker has now
        for layer, attribute in owners.values():
            if not isinstance(layer, Affine):  # which has done so itself
                remember(getattr(layer, attribute))
        warn_of_copies(self.layers, owners, self.backend, self.dtype)
        for layer in self.layers.values():
            place_layer(layer, self.backend, self.dtype, names_to_move(layer))
        self.made_with = {
            name: frozenset(arrays_of_floats(layer))
            for name, layer in self.layers.items()
            if not (isinstance(layer, Layer) and names_its_parameters(layer))
        }
        last_names = parameter_names(self.last_layer)
        place_layer(self.last_layer, self.backend, self.dtype, last_names)

    def _arrays_to_move(self) -> dict[str, tuple[Any, str]]:
        """Give for each array that goes where the network goes its layer and attribute."""
        layers = list(self.layers.values())
        return named_owners(layers, list(map(names_to_move, layers)))

    @property
    def layers(self) -> OrderedDict[str, Any]:
        """The layers by name."""
        return self._layers

    @layers.setter
    def layers(self, layers: object) -> None:
        raise AttributeError(
            "layers cannot be assigned: make a new network of them, as in "
            "fastnn.Sequential(layers, network.last_layer)"
        )

    @property
    def backend(self) -> Backend:
        """Where the network computes."""
        return self._backend

    @backend.setter
    def backend(self, backend: object) -> None:
        raise AttributeError(
            f"backend cannot be assigned: network.to({_named_or('numba', backend)}) moves the "
            "network to another one"
        )

    @property
    def dtype(self) -> str:
        """In what the network computes: "float32" or "float64"."""
        return self._dtype

    @dtype.setter
    def dtype(self, dtype: object) -> None:
        raise AttributeError(
            f"dtype cannot be assigned: network.astype({_named_or('float64', dtype)}) changes it, "
            "with all parameters"
        )

    @property
    def lastLayer(self) -> Any:
        """The loss, under the book's name."""
        return self.last_layer

    @lastLayer.setter
    def lastLayer(self, layer: Any) -> None:
        _check_layer(layer, "lastLayer")
        place_layer(layer, self.backend, self.dtype, parameter_names(layer))
        self.last_layer = layer

    @property
    def params(self) -> Parameters:
        """The parameters by name, live: ``W1, b1, W2, ...``; see `Parameters`.

        A dictionary of all of them can be assigned, see `Parameters.assign`; ``params.copy()``
        gives one.
        """
        return Parameters(self)

    @params.setter
    def params(self, values: Mapping[str, object]) -> None:
        self.params.assign(values)

    def owners(self) -> Mapping[str, tuple[Any, str]]:
        """Give for each parameter's name its layer and the attribute there."""
        layers = list(self.layers.values())
        names = list(map(parameter_names, layers))
        before, names_before, owners = self._owners
        if names != names_before or not all(map(operator.is_, layers, before)):
            owners = named_owners(layers, names)
            self._unnamed = frozenset(id(la) for la in layers if not names_its_parameters(la))
            self._owners = layers, names, owners
        return owners

    def decayed(self) -> dict[str, Array]:
        """Give the weights, by name, whose squares are a part of the loss; see the book, 6.4.2."""
        if not self.weight_decay_lambda:
            return {}
        return {
            name: getattr(layer, attribute)
            for name, (layer, attribute) in self.owners().items()
            if attribute == "W" and isinstance(layer, Affine)
        }

    def unnamed(self) -> frozenset[int]:
        """Tell, by `id`, of which layers nobody has named the parameters yet."""
        self.owners()
        return self._unnamed

    def forget_owners(self) -> None:
        """Read the layers anew: the parameters of one have got their names."""
        self._owners = NetworkOfLayers._owners

    def to(self, backend: str | Backend, *, strict: bool = False) -> Self:
        """Move the network to another backend, in place.

        Parameters
        ----------
        backend : str or Backend
            As of `fastnn.set_backend`.
        strict : bool, optional
            Where the backend cannot run, whether to raise; otherwise the network moves to the best
            one on the CPU, with a warning.

        Returns
        -------
        Sequential
            The network itself.

        Warns
        -----
        ParameterCopyWarning
            If layers part from arrays that they were made from, and that somebody still holds.
        """
        self._move(resolve(backend, strict=strict), self.dtype)
        return self

    def astype(self, dtype: object) -> Self:
        """Change the dtype of the parameters to float32 or float64, in place.

        Parameters
        ----------
        dtype : str or dtype
            "float32" or "float64".

        Returns
        -------
        Sequential
            The network itself.

        Raises
        ------
        ValueError
            For any other dtype.

        Warns
        -----
        ParameterCopyWarning
            See `to`.
        """
        self._move(self.backend, check_dtype(dtype))
        return self

    @alone_at_entry
    def copy(self) -> Self:
        """Give a network of its own with the same parameters, backend and dtype.

        So does ``copy.copy``. Neither these nor pickles carry what fastnn's layers keep of the last
        batch: parameters, and what else you have set.
        """
        twin = shallow(self)
        twins = {
            id(layer): copy_layer(layer, self.backend, self.dtype) for layer in self._all_layers()
        }
        for name, value in vars(self).items():
            if id(value) in twins:
                setattr(twin, name, twins[id(value)])
        twin._layers = OrderedDict((name, twins[id(layer)]) for name, layer in self.layers.items())
        twin._network_lock = NetworkLock()
        return twin

    def __copy__(self) -> Self:
        return self.copy()

    def __getstate__(self) -> object:
        attributes = attributes_of(self)
        for name in ("_network_lock", "_owners", "_unnamed"):
            attributes.pop(name, None)
        of_batch = of_the_last_batch(
            self.layers, self.last_layer, self.backend, self.dtype, self.made_with
        )
        own = {
            id(layer): _as_carried(layer, self.backend, of_batch.get(id(layer), frozenset()))
            for layer in self._all_layers()
        }
        attributes = {name: own.get(id(value), value) for name, value in attributes.items()}
        layers = {name: own[id(layer)] for name, layer in self.layers.items()}
        attributes["_layers"] = OrderedDict(layers)
        left = [
            what_is_kept(layer, name, self.made_with.get(name, ()))
            for name, layer in [*layers.items(), ("last_layer", own[id(self.last_layer)])]
            if not isinstance(layer, Layer)
        ]
        return carried(attributes, self.backend, ", ".join(filter(None, left)))

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_attributes(self, {**arrived(state), "_network_lock": NetworkLock()})
        for layer in self._all_layers():
            if not isinstance(layer, Layer):
                attributes = attributes_of(layer).items()
                arrays = {n: v.array for n, v in attributes if isinstance(v, DeviceArray)}
                set_attributes(layer, arrays)
                land(layer, names_to_move(layer), self.backend)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network to a safetensors file, atomically.

        Parameters
        ----------
        path : path
            An existing file is replaced when the new one is complete, and stays whole otherwise.
            What processes that were killed while they saved have left in that directory
            (``.fastnn-...``) is removed.

        Raises
        ------
        OSError
            If the file cannot be written.
        TypeError
            If a parameter holds no real numbers.
        ValueError
            If it is not known which arrays are the parameters of a layer.

        Notes
        -----
        What fastnn's layers keep besides their parameters, as the running means of batch
        normalisation, is in the file. What a layer of the user's own keeps is not, unless it
        derives from `Layer` and names it in ``state``: pickles and copies have it.
        """
        with self._network_lock.alone:  # so that they are of whole steps, if `fit` trains it
            saved = saved_form(self)
        write_network(path, saved)

    load = LoadMethod()

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Give the parameters and the running state as NumPy arrays by name.

        Returns
        -------
        dict of str to numpy.ndarray
            Copies, in the network's dtype: ``W1, b1, ...``, and what layers follow in training, as
            ``BatchNorm1.running_mean``. What dropout draws next is not among them; `save` keeps it.

        Raises
        ------
        ValueError
            If it is not known which arrays are the parameters of a layer.
        """
        return state_of(self)

    def load_state_dict(self, state: Mapping[str, object]) -> Self:
        """Set the parameters and the running state, all or none.

        Parameters
        ----------
        state : mapping of str to array_like
            A value for each name of `state_dict`, of any library and real dtype. Copies are taken,
            in the network's dtype.

        Returns
        -------
        Sequential
            The network itself.

        Raises
        ------
        TypeError
            If `state` is no mapping, or holds something else than real numbers.
        KeyError
            If names are missing or unexpected: all of them are told.
        ValueError
            If shapes are others: all of them are told; if a running variance is negative, or a
            number beyond the network's dtype; or if it is not known which arrays are the parameters
            of a layer. NaN and infinity, which a network that has diverged holds, are taken.
        RuntimeError
            If another thread trains the network.
        """
        set_state(self, state)
        return self

    def read_into(self, path: str | PathLike[str]) -> Self:
        """Set parameters and state from a file, all or none; that is ``network.load(path)``."""
        saved = read_saved(path)
        parameters = parameters_in(saved, self)
        name_after(self, parameters)
        check_fits(self, saved, path)
        restore(self, saved)
        return self

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Self:
        """Make a network from a file, on the active backend; that is ``Sequential.load(path)``."""
        return cls.from_saved(read_saved(path), path)

    @classmethod
    def from_saved(cls, saved: SavedNetwork, path: str | PathLike[str]) -> Self:
        """Make a network from what a file holds; errors name its path."""
        check_buildable(saved, path)
        kinds = [kind for _, kind in saved.layers]
        if not cls._is_made_of(kinds):
            raise ValueError(f"{path} holds {', '.join(kinds)}: load it with Sequential.load")
        network = cls.__new__(cls)
        NetworkOfLayers.__init__(network, build_layers(saved, path), build_loss(saved))
        network.weight_decay_lambda = float(saved.weight_decay_lambda)
        let_go(network.params.values())
        return network

    @classmethod
    def _is_made_of(cls, kinds: list[str]) -> bool:
        """Whether a network of this class may have layers of these kinds in order."""
        return True

    def __repr__(self) -> str:
        inside = ", ".join(shortened(list(self.layers)))
        return (
            f"{type(self).__name__}({inside}; {type(self.last_layer).__name__}) "
            f"on {self.backend.name}, {self.dtype}"
        )

    def _all_layers(self) -> Iterator[Any]:
        yield from self.layers.values()
        yield self.last_layer

    def _move(self, backend: Backend, dtype: str) -> None:
        with self._network_lock.alone:
            self._network_lock.check_may_change("backend and dtype")
            warn_of_copies(self.layers, self._arrays_to_move(), backend, dtype)
            moved = [
                copy_layer(layer, backend, dtype, names_to_move(layer), keep_handed_over=True)
                for layer in self.layers.values()
            ]
            moved.append(copy_layer(self.last_layer, backend, dtype, keep_handed_over=True))
            for layer, twin in zip(self._all_layers(), moved, strict=True):
                layer.__dict__.update(twin.__dict__)
            self._backend, self._dtype = backend, dtype


def _named_or(example: str, value: object) -> str:
    """Give a value as a call would take it, if it is a name, else an example."""
    return repr(value if isinstance(value, str) else example)


def _named(layers: Iterable[Any] | Mapping[str, Any]) -> OrderedDict[str, Any]:
    if isinstance(layers, Mapping):
        named = OrderedDict(layers)
    elif not isinstance(layers, Iterable):
        raise TypeError(
            f"layers must be a list of layers, as in Sequential([Affine(W, b), Relu()]), got "
            f"{shown(layers)}"
        )
    else:
        named = OrderedDict()
        counts: dict[str, int] = {}
        for layer in layers:
            kind = type(layer).__name__
            counts[kind] = counts.get(kind, 0) + 1
            named[f"{kind}{counts[kind]}"] = layer
    for name, layer in named.items():
        _check_layer(layer, repr(name))
        if isinstance(layer, Loss):
            kind = type(layer).__name__
            raise TypeError(
                f"layer {name!r} is a loss, which comes behind the layers: "
                f"Sequential([...], {kind}())"
            )
    if len({id(layer) for layer in named.values()}) < len(named):
        raise ValueError("a layer appears twice: make one for each place")
    return named


def _as_carried(layer: Any, backend: Backend, of_batch: frozenset[str]) -> Any:
    """Give a layer of the user's own as a copy or a pickle carries it."""
    on_device = not (backend.on_host or isinstance(layer, Layer) or has_own_pickling(layer))
    if not (of_batch or on_device):
        return layer
    twin = shallow(layer)
    set_attributes(twin, dict.fromkeys(of_batch))
    if on_device:
        set_attributes(twin, carried(attributes_of(twin), backend))
    return twin


def _check_layer(layer: Any, name: str) -> None:
    if isinstance(layer, type):
        raise TypeError(f"layer {name} is the class {layer.__name__} itself: make a layer of it")
    missing = [m for m in ("forward", "backward") if not callable(getattr(layer, m, None))]
    if missing:
        kind = type(layer).__name__
        raise TypeError(f"layer {name}, of the class {kind}, needs {' and '.join(missing)}")
