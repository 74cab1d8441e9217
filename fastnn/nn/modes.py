"""How a layer's `forward` is called: in training or in evaluation, and whether `backward` follows.

A layer that does something else in training, as the book's Dropout and BatchNormalization do, has
a parameter ``train_flg`` in its `forward`, and is told. One that has a parameter ``for_backward``,
as fastnn's own layers, is told whether `backward` may follow, and keeps nothing where it may not.
What a `forward` takes is read from its signature, once for each function.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import itertools
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from types import MethodType
from typing import Any
from weakref import WeakSet, ref

from fastnn.backends.arrays import host_array
from fastnn.nn.dropout import Dropout
from fastnn.nn.network import NamedLayers, Network
from fastnn.wording import shown

TRAIN_FLG, FOR_BACKWARD = "train_flg", "for_backward"
EVALUATIONS = 3
"""How often a layer is given one batch to see whether it gives one output."""


NO_OPTIONS: dict[str, bool] = {}


class Takes:
    """What a `forward` takes along with its inputs.

    Parameters
    ----------
    train_flg : {"", "keyword", "position", "perhaps"}
        How it takes the mode, if it does. "perhaps": it has ``**kwargs``, and only calling it
        shows what becomes of them.
    for_backward : bool
        Whether it can be told that no `backward` follows.

    Attributes
    ----------
    options : list of dict, or of None
        The keywords in the mode ``2 * train_flg + for_backward``; None where keywords alone do not
        say it.
    at_once : list of dict, or of None
        The same; also None where no `backward` follows and the layer cannot be told.
    """

    def __init__(self, train_flg: str = "", *, for_backward: bool = False) -> None:
        self.train_flg = train_flg
        self.for_backward = for_backward
        self.function: Any = None
        modes = itertools.product((False, True), repeat=2)
        self.options = [self._options(*mode) for mode in modes]
        self.at_once = [
            options if keep or for_backward else None
            for options, keep in zip(self.options, (False, True) * 2, strict=True)
        ]

    def _options(self, train_flg: bool, for_backward: bool) -> dict[str, bool] | None:
        """Give the keywords for a mode; None where keywords are not the whole story."""
        if self.train_flg in ("position", "perhaps"):
            return None
        options = {TRAIN_FLG: train_flg} if self.train_flg else {}
        if self.for_backward and not for_backward:
            options[FOR_BACKWARD] = False
        return options or NO_OPTIONS


_known: dict[int, Takes] = {}
"""What is known of functions that exist, by their `id`."""

_refused: WeakSet[Any] = WeakSet()


def what_is_taken(forward: Callable[..., Any]) -> Takes:
    """Tell what a layer's `forward` takes."""
    function = getattr(forward, "__func__", forward)
    key = id(function)
    known = _known.get(key)
    if known is None:
        known = _read(forward)
        with contextlib.suppress(TypeError):  # an object that cannot be referred to weakly
            known.function = ref(function, lambda _: _known.pop(key, None))
            _known[key] = known
    return known


def forward_through(
    layers: Collection[Any],
    x: Any,
    train_flg: bool,
    for_backward: bool,
    lock: AbstractContextManager[Any],
) -> Any:
    """Call the `forward` of layers, one after the other; a tenth of a microsecond counts here.

    A layer that may keep something although no `backward` follows is called under the lock, so that
    it is not in the middle of another thread's gradient.
    """
    mode = 2 * train_flg + for_backward
    layer = None
    try:
        for layer in layers:
            forward = layer.forward
            try:
                takes = _known[id(forward.__func__)]
            except (AttributeError, KeyError):
                takes = what_is_taken(forward)
            options = takes.at_once[mode]
            if options is NO_OPTIONS:
                x = forward(x)
            elif options is not None:
                x = forward(x, **options)
            elif for_backward:
                x = call(forward, x, train_flg=train_flg)
            else:
                with lock:
                    x = call(forward, x, train_flg=train_flg, for_backward=for_backward)
    except Exception as error:
        place = 1 + next(i for i, one in enumerate(layers) if one is layer)
        if place > 1:  # what the first one is given is what the user gave
            error.add_note(f"in layer {place} of the network, {shown(layer)}")
        raise
    return x


def call_forward(
    layer: Any, *inputs: Any, train_flg: bool = True, for_backward: bool = True
) -> Any:
    """Call a layer's `forward`; by default as a training step does."""
    return call(layer.forward, *inputs, train_flg=train_flg, for_backward=for_backward)


def call(
    forward: Callable[..., Any], *inputs: Any, train_flg: bool = True, for_backward: bool = True
) -> Any:
    """Call a function with its inputs, and what it takes of the mode."""
    takes = what_is_taken(forward)
    options = takes.options[2 * train_flg + for_backward]
    if options is not None:
        return forward(*inputs, **options)
    if takes.train_flg == "position":
        return forward(*inputs, train_flg)
    return _offer(forward, inputs, train_flg)


def training_forward(layer: Any) -> MethodType:
    """Give a layer's `forward` in training as a method of the layer, for a step of a plan."""
    return MethodType(call_forward, layer)


def hold_draws(network: NamedLayers) -> None:
    """Let fastnn's layers that draw at random draw the same again and again, from now on."""
    for layer in network.layers.values():
        if isinstance(layer, Dropout):
            layer.held = True


def check_repeatable(network: Network, x: object, t: object) -> None:
    """Refuse a network that gives one batch different losses in training.

    Parameters
    ----------
    network : Network
        What its layers keep changes.
    x, t : array_like
        A batch, as for `Sequential.loss`.

    Raises
    ------
    ValueError
        If a layer draws at random, as dropout does: there is no numerical gradient then.
    """
    scores, labels = network.batch_and_targets(x, t)
    for name, layer in network.layers.items():
        scores = _only_output(name, layer, scores)
    targets = network.targets(labels, tuple(scores.shape[1:]))
    _only_output("last_layer", network.last_layer, scores, targets)


def _only_output(name: str, layer: Any, *inputs: Any) -> Any:
    """Give what a layer makes of a batch in training, if it is the same again and again."""
    seen = set()
    for _ in range(EVALUATIONS):
        output = call_forward(layer, *copy.deepcopy(inputs))  # it may write into what it is given
        seen.add(host_array(output).tobytes())
    if len(seen) > 1:
        raise ValueError(
            f"layer {name!r} ({type(layer).__name__}) gives another output each time that it sees "
            "a batch in training, as dropout does: a numerical gradient compares losses of one "
            "batch and says nothing here. Let the layer drop nothing for the check (a ratio of "
            "0), draw the same mask each time (fastnn's Dropout does), or carry nothing from batch "
            "to batch"
        )
    return output


def _read(forward: Any) -> Takes:
    if isinstance(forward, functools.partial) and TRAIN_FLG in forward.keywords:
        return Takes()  # the user has chosen a mode
    wrapped = getattr(forward, "__wrapped__", None)
    try:
        # A wrapper is called, so its own parameters count, not those of what it wraps.
        parameters = inspect.signature(forward, follow_wrapped=False).parameters
    except (TypeError, ValueError):  # a function of C that tells nothing
        return Takes() if wrapped is None else _read(wrapped)
    kinds = {parameter.kind for parameter in parameters.values()}
    named = parameters.get(TRAIN_FLG)
    train_flg = ""
    if named is not None and named.kind is not named.POSITIONAL_ONLY:
        train_flg = "keyword"
    elif named is not None:
        train_flg = "position"
    elif inspect.Parameter.VAR_KEYWORD in kinds:
        train_flg = "perhaps" if wrapped is None else _read(wrapped).train_flg
    elif inspect.Parameter.VAR_POSITIONAL in kinds and wrapped is not None:
        train_flg = "position" if _read(wrapped).train_flg else ""
    return Takes(train_flg, for_backward=FOR_BACKWARD in parameters)


def _offer(forward: Callable[..., Any], inputs: tuple[Any, ...], train_flg: bool) -> Any:
    """Call what hands its keywords on, without the mode if that is refused further down."""
    layer = getattr(forward, "__self__", forward)
    try:
        if layer in _refused:
            return forward(*inputs)
    except TypeError:  # no hash: the mode is offered each time
        pass
    try:
        return forward(*inputs, train_flg=train_flg)
    except TypeError as error:
        if f"unexpected keyword argument '{TRAIN_FLG}'" not in str(error):
            raise
    with contextlib.suppress(TypeError):
        _refused.add(layer)
    return forward(*inputs)
