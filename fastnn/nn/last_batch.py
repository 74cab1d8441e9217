"""What layers of the user's own keep of the last batch: copies and pickles leave it out.

fastnn's layers say in `forget` what they keep. The book's say nothing: they just leave their input
in ``x``, a mask in ``mask``. But what is of a batch is as large as the batch. So where an array is
there that is no parameter, copies of the layers are given two batches of made-up numbers, one of
two samples and one of three: an array whose shape follows is of the batch, and any other, as a
running mean, is not. Where that does not work, as in a layer that takes something else, nothing is
known.
"""

from __future__ import annotations

import copy
import itertools
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.nn.copies import attributes_of
from fastnn.nn.found_parameters import randomness_as_before
from fastnn.nn.layer import has_own_pickling, kept_beside_parameters
from fastnn.nn.modes import call_forward

Shape = tuple[int, ...]
Shapes = dict[int, dict[str, Shape]]
_trying = threading.local()
"""Whether this thread is at it: copies of a layer that knows its network would begin anew."""

SAMPLES = (2, 3)
MADE_UP = 0.5


def of_the_last_batch(
    layers: Mapping[str, Any],
    last_layer: Any,
    backend: Backend,
    dtype: str,
    made_with: Mapping[str, Iterable[str]],
) -> dict[int, frozenset[str]]:
    """Name by the `id` of layers of the user's own the attributes that are of the last batch.

    Nothing that the layers hold is changed, nor the state of Python's and NumPy's generators.
    """
    kept = {
        id(layer): kept_beside_parameters(layer, made_with.get(name, ()))
        for name, layer in [*layers.items(), ("", last_layer)]
        if not has_own_pickling(layer)
    }
    if not any(kept.values()) or getattr(_trying, "busy", False):
        return {}
    _trying.busy = True
    try:
        return _found(layers, last_layer, backend, dtype, kept)
    finally:
        _trying.busy = False


def _found(
    layers: Mapping[str, Any],
    last_layer: Any,
    backend: Backend,
    dtype: str,
    kept: Mapping[int, dict[str, Array]],
) -> dict[int, frozenset[str]]:
    """Try what a sample may look like, until the layers take it."""
    for shared, shape in itertools.product((_shared(kept), {}), _shapes_of_samples(layers, kept)):
        seen = [
            _shapes_after(layers, last_layer, kept, shared, backend, dtype, (samples, *shape))
            for samples in SAMPLES
        ]
        if seen[0] and seen[1]:
            return {
                key: frozenset(n for n in names if seen[0][key].get(n) != seen[1][key].get(n))
                for key, names in kept.items()
                if key in seen[0] and key in seen[1]
            }
    return {}


def _shapes_of_samples(layers: Mapping[str, Any], kept: Mapping[int, Any]) -> Iterator[Shape]:
    """Go through the shapes that a sample may have, as weights and what is kept suggest."""
    tried = set()
    for layer in layers.values():
        shapes = [tuple(array.shape)[1:] for array in kept.get(id(layer), {}).values()]
        weights: Any = getattr(layer, "W", getattr(layer, "gamma", None))
        if len(getattr(weights, "shape", ())) in (1, 2):
            shapes.insert(0, (int(weights.shape[0]),))
        for shape in shapes:
            if shape not in tried:
                tried.add(shape)
                yield shape


def _shared(kept: Mapping[int, dict[str, Array]]) -> dict[int, Any]:
    """Give for arrays of NumPy's, by `id`, what stands for them in copies: views, for reading only.

    They may be as large as a data set. A layer that writes into one refuses its batch, and gets
    whole copies then.
    """
    views = {}
    for array in itertools.chain.from_iterable(arrays.values() for arrays in kept.values()):
        if isinstance(array, np.ndarray):
            views[id(array)] = array.view()
            views[id(array)].flags.writeable = False
    return views


def _shapes_after(
    layers: Mapping[str, Any],
    last_layer: Any,
    kept: Mapping[int, dict[str, Array]],
    shared: Mapping[int, Any],
    backend: Backend,
    dtype: str,
    shape: Shape,
) -> Shapes:
    """Give the shapes of what copies of the layers keep of a batch; nothing if they refuse it."""
    found: Shapes = {}

    def note(layer: Any, twin: Any) -> None:
        if id(layer) in kept:
            attributes = attributes_of(twin)
            arrays = {n: attributes.get(n) for n in kept[id(layer)]}
            found[id(layer)] = {n: tuple(getattr(a, "shape", ())) for n, a in arrays.items()}

    with randomness_as_before(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            x: Any = backend.asarray(np.full(shape, MADE_UP), dtype)
            for layer in layers.values():
                twin = copy.deepcopy(layer, dict(shared))
                x = call_forward(twin, x)
                note(layer, twin)
        except Exception:  # of any layer: it takes no such batch
            return {}
        for t in (np.zeros(shape[0], "int64"), np.full(tuple(x.shape), MADE_UP)):
            twin = copy.deepcopy(last_layer, dict(shared))
            try:
                call_forward(twin, x, backend.asarray(t))
            except Exception:  # it takes other targets
                continue
            note(last_layer, twin)
            break
    return found
