"""Any layers in order as a network, and the boundary where host arrays enter."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import Any, Self

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.base import Backend
from fastnn.backends.selection import get_backend, load_backend, resolve
from fastnn.checks import check_dtype, common_dtype
from fastnn.chunks import chunks
from fastnn.nn.copies import attributes_of, set_attributes, shallow
from fastnn.nn.entry import alone_at_entry, at_entry
from fastnn.nn.found_parameters import find, find_in_copy, name_after
from fastnn.nn.handed_over import let_go, remember, warn_of_copies
from fastnn.nn.layer import (
    Layer,
    arrays_of_floats,
    gradient_of,
    is_unmodified,
    named_owners,
    names_its_parameters,
    names_to_move,
    parameter_names,
)
from fastnn.nn.layers import Affine
from fastnn.nn.lock import NetworkLock
from fastnn.nn.losses import SoftmaxWithLoss
from fastnn.nn.modes import call, forward_through
from fastnn.nn.network_gradient import network_numerical_gradient
from fastnn.nn.parameters import Parameters
from fastnn.nn.placing import copy_layer, place_layer
from fastnn.nn.saving import LoadMethod, build_layers, check_buildable, check_fits, saved_form
from fastnn.nn.storage import read_network, write_network
from fastnn.nn.validation import (
    check_batch,
    check_labels,
    check_not_empty,
    check_same_length,
    real_array,
)
from fastnn.wording import shortened

CHUNK = 8192
"""Samples that are evaluated at a time where there may be many, which bounds the memory."""


class Sequential:
    """Layers, one after the other, and a loss.

    Parameters
    ----------
    layers : iterable of layers, or mapping of names to layers
        Anything with `forward` and `backward`; see `fastnn.nn.layers`. Without names they are
        called ``Affine1, Relu1, Affine2, ...``. They must have been made on one backend. A
        `forward` that takes ``train_flg`` is given True by `gradient` and `fit`, False by `predict`
        and `accuracy`, as in the book.
    last_layer : layer, optional
        Its ``forward(x, t)`` gives the loss; `SoftmaxWithLoss` by default.

    Attributes
    ----------
    layers : OrderedDict
        The layers by name.
    lastLayer : layer
        The loss, also as `last_layer`.
    backend : Backend
        Where the network computes; see `to`.
    dtype : str
        "float32" or "float64": in what; see `astype`.

    Notes
    -----
    Threads may share a network. `loss` and `gradient` wait for each other, `predict` and `accuracy`
    for nothing, unless a layer is not one of fastnn's. While `fit` trains the network, no other
    `fit` can, and no other thread may change it; what other threads see of it is told in the notes
    of `fit`. Networks that share layers are for one thread.

    Raises
    ------
    TypeError
        If a layer has no `forward` and `backward`.
    ValueError
        If a layer appears twice, or the layers are of several backends.

    Warns
    -----
    ParameterCopyWarning
        If a parameter that somebody else holds as well, as the book's dictionary does, has to be
        copied. A network has one dtype: float32 if all its parameters are, else float64.
    """

    _owners: tuple[list[Any], list[tuple[str, ...]], Mapping[str, tuple[Any, str]]] = [], [], {}
    """What `owners` gave last, and the layers and names for which it holds.

    Without it `gradient` takes 13 us longer, 8 %, and `SGD.update` 65 us for 38 (784-50-10)."""
    _unnamed: frozenset[int] = frozenset()
    """The layers, by `id`, among those of `_owners` whose class does not name its parameters."""
    made_with: Mapping[str, frozenset[str]]
    """The arrays that such layers had when the network was made, by the layer's name."""

    def __init__(
        self, layers: Iterable[Any] | Mapping[str, Any], last_layer: Any | None = None
    ) -> None:
        self._network_lock = NetworkLock()
        self.differentiated = False  # that is, whether a backward pass has shown the parameters
        self.layers: OrderedDict[str, Any] = _named(layers)
        self.last_layer = SoftmaxWithLoss() if last_layer is None else last_layer
        _check_layer(self.last_layer, "last_layer")
        own = [layer for layer in self.layers.values() if isinstance(layer, Layer)]
        backends = {layer.backend for layer in own}
        if len(backends) > 1:
            names = ", ".join(sorted(backend.name for backend in backends))
            raise ValueError(f"the layers were made on several backends: {names}; make them on one")
        self.backend: Backend = backends.pop() if backends else get_backend()
        owners = self._arrays_to_move()
        arrays = [real_array(getattr(*owner), self.backend, name) for name, owner in owners.items()]
        self.dtype = common_dtype(arrays) if arrays else "float32"
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
            if not names_its_parameters(layer)
        }
        last_names = parameter_names(self.last_layer)
        place_layer(self.last_layer, self.backend, self.dtype, last_names)

    def _arrays_to_move(self) -> dict[str, tuple[Any, str]]:
        """Give for each array that goes where the network goes its layer and attribute."""
        layers = list(self.layers.values())
        return named_owners(layers, list(map(names_to_move, layers)))

    @property
    def lastLayer(self) -> Any:
        """The loss, under the book's name."""
        return self.last_layer

    @lastLayer.setter
    def lastLayer(self, layer: Any) -> None:
        _check_layer(layer, "lastLayer")
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

    def unnamed(self) -> frozenset[int]:
        """Tell, by `id`, of which layers nobody has named the parameters yet."""
        self.owners()
        return self._unnamed

    def forget_owners(self) -> None:
        """Read the layers anew: the parameters of one have got their names."""
        self._owners = Sequential._owners

    @at_entry
    def find_parameters(self, x: object, t: object) -> None:
        """Find the parameters of layers whose class names none, from a batch as for `gradient`.

        The network is left as it is, but for these names; see `fastnn.nn.found_parameters`.
        """
        find_in_copy(self, x, t, Sequential.gradient)
        self.differentiated = True

    @at_entry
    def predict(self, x: object, train_flg: bool = False) -> Array:
        """Give the scores of the classes, before softmax.

        Parameters
        ----------
        x : array_like (N, ...), or (D,) for one sample
            Of any library and real dtype; it is brought to the network's device and dtype. NaN
            and infinity are let through.
        train_flg : bool, optional
            True computes as in training, where layers drop units or normalise by the batch, and
            keeps what `backward` of the layers needs. Otherwise fastnn's layers keep nothing.

        Returns
        -------
        array (N, C), or (C,)
            On the network's backend.

        Raises
        ------
        TypeError
            If `x` holds no real numbers.
        ValueError
            If it is empty or has the wrong number of features.
        """
        array = real_array(x, self.backend, "x")
        single = array.ndim == 1
        batch = check_batch(array[None, :] if single else array, self.backend, self.dtype)
        scores = self._forward(batch, bool(train_flg), bool(train_flg))
        return scores[0, ...] if single else scores

    @at_entry
    def scores_of_checked(self, x: Array) -> Array:
        """Give the scores of a batch that has been checked already, and may be on the host."""
        return self._forward(self.backend.asarray(x, self.dtype), False, False)

    @alone_at_entry
    def loss(self, x: object, t: object, train_flg: bool = False) -> float:
        """Give the mean loss of a batch.

        The layers keep what `backward` needs, so that a gradient can be taken by hand, as in the
        book: ``network.lastLayer.backward(1)``, then `backward` of each layer.

        Parameters
        ----------
        x : array_like (N, ...), or (D,) for one sample
            See `predict`.
        t : array_like (N,) or (N, C)
            Labels: indices of classes, or one-hot. For one sample an index, or (C,).
        train_flg : bool, optional
            True for the loss that `gradient` differentiates and `fit` reports: layers drop units,
            or normalise by the batch.

        Returns
        -------
        float
            Softmax, its logarithm and the mean are taken in float64, of scores in the network's
            dtype: so two losses that differ little tell a gradient, see `numerical_gradient`.

        Raises
        ------
        TypeError
            If an array holds no real numbers.
        ValueError
            If shapes do not fit, the batch is empty, or a label is out of range, not integral or
            not one-hot.
        """
        return float(self._loss(x, t, bool(train_flg), in_float64=True))

    @at_entry
    def accuracy(self, x: object, t: object) -> float:
        """Give the fraction of samples whose largest score is that of their label.

        Parameters and errors are those of `loss`. Large data sets are evaluated in chunks. As in
        `predict`, nothing is dropped, and fastnn's layers keep nothing.
        """
        data, labels = self._samples(x, t)
        samples, correct, indices = int(data.shape[0]), 0, None
        for some in chunks(samples, CHUNK):
            batch = self.backend.asarray(data[some, ...], self.dtype)
            scores = self._forward(batch, False, False)
            if indices is None:
                indices = check_labels(labels, samples, scores.shape[1], self.backend).indices
            correct += int(self.backend.count_correct(scores, indices[some]))
        return correct / samples

    @alone_at_entry
    def gradient(self, x: object, t: object) -> dict[str, Array]:
        """Give the gradient of the mean loss by every parameter, by backpropagation.

        It is that of ``loss(x, t, train_flg=True)``. Parameters and errors are those of `loss`.

        Returns
        -------
        dict of str to array
            Of the shape of each parameter, on the network's backend; not used again by fastnn.
        """
        self.backpropagate(x, t)
        owners = self.owners()
        if self._unnamed:
            find(self, x, t)
            self.differentiated = True
            owners = self.owners()
        return {name: gradient_of(*owner) for name, owner in owners.items()}

    def backpropagate(self, x: object, t: object) -> None:
        """Go forward and backward through the layers, which keep the gradients."""
        self._loss(x, t, train_flg=True)
        dout = self.last_layer.backward(1)
        layers = list(self.layers.values())
        for layer in reversed(layers[1:]):
            dout = layer.backward(dout)
        if layers and is_unmodified(layers[0], Affine):
            layers[0].backward(dout, input_gradient=False)
        elif layers:
            layers[0].backward(dout)

    @at_entry
    def numerical_gradient(self, x: object, t: object) -> dict[str, Array]:
        """Give the gradient of the mean loss by central differences, to check `gradient`.

        It is evaluated in float64 on a copy of the network, whatever the network's dtype (on a CPU
        by NumPy, unless a layer is not one of fastnn's), for every parameter by the definition,
        ``(loss(p + h) - loss(p - h)) / (2 h)``, ``h = 1e-4``, of the loss in training.
        Parameters and errors are those of `loss`; a layer that draws at random in training, as
        dropout, is an error too, since it leaves nothing to compare.

        Returns
        -------
        dict of str to array of float64
            Of the shape of each parameter, on the network's backend.
        """
        return network_numerical_gradient(self, x, t)

    def to(self, backend: str | Backend, *, strict: bool = False) -> Self:
        """Move the network to another backend, in place.

        Parameters
        ----------
        backend, strict
            As of `fastnn.set_backend`: where the backend cannot run the network moves to the best
            one on the CPU, with a warning, or raises.

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

        Returns
        -------
        Sequential
            The network itself.

        Warns
        -----
        ParameterCopyWarning
            See `to`.

        Raises
        ------
        ValueError
            For any other dtype.
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
        twin.layers = OrderedDict((name, twins[id(layer)]) for name, layer in self.layers.items())
        twin._network_lock = NetworkLock()
        return twin

    def __copy__(self) -> Self:
        return self.copy()

    def __getstate__(self) -> object:
        attributes = attributes_of(self)
        for name in ("_network_lock", "_owners", "_unnamed"):
            attributes.pop(name, None)
        return attributes

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_attributes(self, {**state, "_network_lock": NetworkLock()})

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
        What a layer of the user's own keeps besides its parameters, as the running means of batch
        normalisation, is not in the file: pickles and copies have it.
        """
        with self._network_lock.alone:  # so that they are of whole steps, if `fit` trains it
            saved = saved_form(self)
        write_network(path, saved)

    load = LoadMethod()

    def read_into(self, path: str | PathLike[str]) -> Self:
        """Set the parameters from a file, all or none; that is ``network.load(path)``."""
        saved = read_network(path)
        name_after(self, saved.arrays)
        check_fits(self, saved, path)
        self.params.assign(saved.arrays)
        return self

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Self:
        """Make a network from a file, on the active backend; that is ``Sequential.load(path)``."""
        saved = read_network(path)
        check_buildable(saved, path)
        kinds = [kind for _, kind in saved.layers]
        if not cls._is_made_of(kinds):
            raise ValueError(f"{path} holds {', '.join(kinds)}: load it with Sequential.load")
        network = cls.__new__(cls)
        Sequential.__init__(network, build_layers(saved, path), SoftmaxWithLoss())
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
            self.backend, self.dtype = backend, dtype

    def batch_and_targets(self, x: object, t: object) -> tuple[Array, Array]:
        """Check a batch and bring it to the device; give its targets too, still to be checked."""
        data, targets = self._samples(x, t)
        return self.backend.asarray(data, self.dtype), targets

    def _samples(self, x: object, t: object) -> tuple[Array, Array]:
        """Check that inputs and targets have a first axis of the same length."""
        data, targets = real_array(x, self.backend, "x"), real_array(t, self.backend, "t")
        if data.ndim == 1:
            data = data[None, :]
            targets = targets if tuple(targets.shape) == (1,) else targets[None, ...]
        check_not_empty(data)
        check_same_length(data, targets)
        return data, targets

    def _forward(self, x: Array, train_flg: bool, for_backward: bool) -> Array:
        lock = self._network_lock.alone
        return forward_through(self.layers.values(), x, train_flg, for_backward, lock)

    def _loss(self, x: object, t: object, train_flg: bool, *, in_float64: bool = False) -> Array:
        batch, labels = self.batch_and_targets(x, t)
        scores = self._forward(batch, train_flg, True)
        targets = self.targets(labels, scores.shape[1])
        if not (in_float64 and is_unmodified(self.last_layer, SoftmaxWithLoss)):
            return call(self.last_layer.forward, scores, targets, train_flg=train_flg)
        loss = self.last_layer.forward(self.backend.astype(scores, "float64"), targets)
        self.last_layer.y = self.backend.astype(self.last_layer.y, self.dtype)  # for backward
        return loss

    def targets(self, t: Array, classes: int, *, name: str = "t") -> Any:
        """Check `t` and bring it to the device, as the last layer takes it."""
        if isinstance(self.last_layer, SoftmaxWithLoss):
            return check_labels(t, t.shape[0], classes, self.backend, name=name)
        return self.backend.asarray(t)

    def targets_on_host(self, t: Array, classes: int, *, name: str = "t") -> Any:
        """Check `t` as `targets` does, and bring a copy to the host."""
        if isinstance(self.last_layer, SoftmaxWithLoss):
            home = self._backend_of(t)
            return host_array(check_labels(t, t.shape[0], classes, home, name=name).indices)
        return host_array(t).copy()

    def replaced_method(self, *methods: str) -> str | None:
        """Name the first of these methods that a subclass or the network has of its own."""
        for method in methods:
            own = getattr(type(self), method) is not getattr(Sequential, method)
            if own or method in vars(self):
                return method
        return None

    def _backend_of(self, array: Array) -> Backend:
        return self.backend if self.backend.owns(array) else load_backend("numpy")


def _named(layers: Iterable[Any] | Mapping[str, Any]) -> OrderedDict[str, Any]:
    if isinstance(layers, Mapping):
        named = OrderedDict(layers)
    else:
        named = OrderedDict()
        counts: dict[str, int] = {}
        for layer in layers:
            kind = type(layer).__name__
            counts[kind] = counts.get(kind, 0) + 1
            named[f"{kind}{counts[kind]}"] = layer
    for name, layer in named.items():
        _check_layer(layer, repr(name))
    if len({id(layer) for layer in named.values()}) < len(named):
        raise ValueError("a layer appears twice: make one for each place")
    return named


def _check_layer(layer: Any, name: str) -> None:
    if isinstance(layer, type):
        raise TypeError(f"layer {name} is the class {layer.__name__} itself: make a layer of it")
    missing = [m for m in ("forward", "backward") if not callable(getattr(layer, m, None))]
    if missing:
        kind = type(layer).__name__
        raise TypeError(f"layer {name}, of the class {kind}, needs {' and '.join(missing)}")
