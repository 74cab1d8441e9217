"""Which arrays of a layer are its parameters, where its class does not say so.

A layer of the user's own names its parameters in ``parameters``. The book's own layers do not: they
just leave a gradient ``dW`` beside an array ``W``. So does a layer that keeps its input as ``x``
and that input's gradient as ``dx``; but an input is another one for each batch. So what a backward
pass has left is checked twice, for two batches: an array ``NAME`` that stays as it is, and has
beside it a ``dNAME`` of its shape that the pass has left, is a parameter. An array that the layer
was made with, and that does not stay as it is, may be one: the user has to say it. The second pass
is one of a copy of the network, and disturbs nothing. It finds NaN in every gradient, so that what
it leaves shows, also zeros; where NaN stays, nothing is known yet.
"""

from __future__ import annotations

import copy
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnn.backends.arrays import host_array
from fastnn.checks import is_of_floats
from fastnn.nn.copies import attributes_of
from fastnn.nn.layer import Layer, arrays_of_floats, named_owners, parameter_names
from fastnn.nn.network import NamedLayers, Network
from fastnn.nn.placing import place_layer

Pairs = dict[str, tuple[Any, Any]]


def find_in_copy(network: Network, x: Any, t: Any, gradient: Callable[..., object]) -> None:
    """Find the parameters by a `gradient` of a copy, which is all that is changed."""
    waiting = network.unnamed()
    if not waiting:
        return
    layers = list(network.layers.items())
    twin = _copy_of(network, [(name, layer) for name, layer in layers if id(layer) in waiting])
    with randomness_as_before():
        gradient(twin, x, t)
    for (_, layer), other in zip(layers, list(twin.layers.values()), strict=True):
        if id(layer) in waiting and id(other) not in twin.unnamed():
            _name(layer, parameter_names(other), network)


def find(network: Network, x: Any, t: Any) -> None:
    """Find the parameters of layers that name none, after a backward pass for this batch.

    Raises
    ------
    TypeError
        If a layer leaves a gradient, and it cannot be told whether it is one of a parameter.
    """
    layers = list(network.layers.items())
    waiting = [i for i, (_, layer) in enumerate(layers) if _is_waiting(network, layer)]
    if not waiting:
        return
    batch, targets = network.batch_and_targets(x, t)
    samples = int(batch.shape[0])
    other_batch = batch * 0.5 + 0.125  # another one, also where all samples are alike
    twin = _copy_of(network, [layers[i] for i in waiting])
    twins = list(twin.layers.values())
    before = {i: _with_contents(twins[i], pairs_of(layers[i][1])) for i in waiting}
    for i in waiting:
        _without_gradients(twins[i], before[i])
    with randomness_as_before():
        twin.backpropagate(other_batch, targets)
    for i in waiting:
        name, layer = layers[i]
        given = parameter_names(layer)
        made_with = network.made_with.get(name, frozenset())
        left = {n for n in before[i] if not _is_unknown(attributes_of(twins[i]).get(f"d{n}"))}
        found = tuple(_parameters(name, twins[i], before[i], left, samples, given, made_with))
        if found or left == before[i].keys():
            _name(layer, (*given, *found), network)


def name_after(network: NamedLayers, names: Iterable[str]) -> None:
    """Name the parameters of layers that name none as a file or a dictionary calls them.

    That is done only if all the names are then those of the network's parameters.
    """
    waiting, wanted = network.unnamed(), set(names)
    if not waiting:
        return
    layers = list(network.layers.values())
    found = []
    for layer in layers:
        given = parameter_names(layer)
        if id(layer) in waiting:
            more = [n for n in arrays_of_floats(layer) if n not in given]
            given = (*given, *[n for n in more if _is_numbered(n, wanted)])
        found.append(given)
    if set(named_owners(layers, found)) == wanted:
        for layer, given in zip(layers, found, strict=True):
            if id(layer) in waiting and given != parameter_names(layer):
                _name(layer, given, network)


def without_names(network: NamedLayers) -> str:
    """Say which layers were made with arrays of which nobody knows whether they are parameters.

    Arrays that came later are of the last batch, as an output that is kept for `backward`.
    """
    described = []
    for name, layer in network.layers.items():
        arrays = arrays_of_floats(layer)
        made_with = network.made_with.get(name, arrays)
        some = [n for n in arrays if n in made_with and n not in parameter_names(layer)]
        if id(layer) in network.unnamed() and some:
            described.append(f"{name!r} ({', '.join(some)})")
    return ", ".join(described)


def check_names(network: NamedLayers, what: str) -> None:
    """Raise an error if some parameters are not known yet, and would be left out.

    After a backward pass, a layer that has left no gradient beside an array has no parameters,
    unless no layer has any.

    Raises
    ------
    ValueError
        Saying `what` was not done.
    """
    known = network.differentiated and len(network.params) > 0
    unknown = "" if known else without_names(network)
    if unknown:
        raise ValueError(
            f"{what}: it is not known which of their arrays are parameters of the layers "
            f'{unknown}. Say so in the class, parameters = ("W", "b"), or parameters = () if '
            "there are none; where backward leaves the gradient of each NAME in dNAME, "
            "network.gradient(x, t) for a batch finds them, too"
        )


def no_parameters(network: NamedLayers, what: str) -> ValueError:
    """Make the error for a network that has no parameter at all."""
    named = without_names(network)
    hint = f" Of {named} nothing is known: no layer has left a gradient dNAME." if named else ""
    return ValueError(
        f"the network has no parameters {what}: no layer of it names any.{hint} A layer of your "
        'own names its parameters in its class, parameters = ("W", "b"), and leaves the gradient '
        "of each NAME in dNAME"
    )


def pairs_of(layer: Any) -> Pairs:
    """Give the arrays of floats of a layer beside which there is a gradient of their shape."""
    attributes = attributes_of(layer)
    pairs: Pairs = {}
    for name, value in attributes.items():
        gradient: Any = attributes.get(f"d{name}")
        of_floats = gradient is not None and _is_of_floats(value) and _is_of_floats(gradient)
        if of_floats and np.shape(value) == np.shape(gradient):
            pairs[name] = value, gradient
    return pairs


def _is_waiting(network: NamedLayers, layer: Any) -> bool:
    if id(layer) not in network.unnamed():
        return False
    return bool(pairs_of(layer).keys() - set(parameter_names(layer)))


@contextmanager
def randomness_as_before() -> Iterator[None]:
    """Restore the state of Python's and NumPy's global random generators afterwards."""
    own, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002 - layers may draw there
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(numpys)  # noqa: NPY002


def _copy_of(network: Network, waiting: list[tuple[str, Any]]) -> Network:
    try:
        twin = network.copy()
        for name, layer in twin.layers.items():
            if isinstance(layer, Layer):  # of which a copy shares what is no parameter
                twin.layers[name] = copy.deepcopy(layer)
        return twin
    except Exception as error:
        (name, layer), *_ = waiting
        raise TypeError(
            f"layer {name!r}, of the class {type(layer).__name__}, names no parameters, and they "
            f"cannot be found in a copy of the network, since it cannot be copied ({error}): "
            f"{_what_to_write(list(pairs_of(layer)))}"
        ) from error


def _with_contents(layer: Any, names: Iterable[str]) -> dict[str, tuple[Any, Any]]:
    """Give arrays, each with its contents as they are now."""
    attributes = attributes_of(layer)
    return {name: (attributes.get(name), _content(attributes.get(name))) for name in names}


def _without_gradients(layer: Any, names: Iterable[str]) -> None:
    """Fill the gradients of a layer with NaN, in place, since `backward` may do that as well."""
    for name in names:
        gradient = getattr(layer, f"d{name}")
        if hasattr(gradient, "shape") and not isinstance(gradient, np.generic):
            gradient[...] = math.nan
        else:
            setattr(layer, f"d{name}", math.nan)


def _is_unknown(gradient: Any) -> bool:
    return gradient is None or bool(np.isnan(host_array(gradient)).all())


def _parameters(
    layer_name: str,
    layer: Any,
    before: dict[str, tuple[Any, Any]],
    left: set[str],
    samples: int,
    given: tuple[str, ...],
    made_with: frozenset[str],
) -> Iterator[str]:
    """Compare a layer before and after a pass for another batch."""
    for name, (value, _) in pairs_of(layer).items():
        if name in given or name not in left:
            continue
        old_value, old_content = before[name]
        number = not hasattr(value, "shape")
        of_the_batch = np.shape(value)[:1] == (samples,)
        if (number or value is old_value) and _equal(value, old_content):
            yield name
        elif name in made_with and not of_the_batch:
            raise TypeError(
                f"layer {layer_name!r}, of the class {type(layer).__name__}, leaves d{name} beside "
                f"{name}, of shape {np.shape(value)}, but changes {name} itself in forward or "
                f"backward, so that it cannot be told whether {name} is a parameter: "
                f"{_what_to_write([n for n in pairs_of(layer) if n in made_with])}"
            )


def _name(layer: Any, names: tuple[str, ...], network: NamedLayers) -> None:
    try:
        layer.parameters = names
    except AttributeError as error:
        raise TypeError(
            f"{type(layer).__name__} cannot be told its parameters ({error}): "
            f"{_what_to_write(list(names))}"
        ) from error
    network.forget_owners()
    place_layer(layer, network.backend, network.dtype, names)


def _what_to_write(names: list[str]) -> str:
    named = ", ".join(f'"{name}"' for name in names) + ("," if len(names) == 1 else "")
    return (
        f"write parameters = ({named}) in the class, with those of them that training is to "
        "change, or parameters = () if there are none"
    )


def _is_numbered(attribute: str, names: set[str]) -> bool:
    return any(re.fullmatch(re.escape(attribute) + r"\d+", name) for name in names)


def _is_of_floats(value: Any) -> bool:
    if isinstance(value, float):
        return True
    return hasattr(value, "shape") and hasattr(value, "dtype") and is_of_floats(value)


def _content(value: Any) -> Any:
    return None if value is None else np.array(host_array(value))


def _equal(value: Any, content: Any) -> bool:
    return content is not None and np.array_equal(host_array(value), content, equal_nan=True)
