"""What `check_gradients` compares, each with its numerical gradient.

A layer by itself, the whole network, and a step of training. The numerical gradient is evaluated
in float64 on NumPy, and asks for care: ReLU has kinks, and the differences of a large loss are
rounding.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn.backends.arrays import host_array
from fastnn.backends.base import Backend
from fastnn.backends.selection import load_backend
from fastnn.errors import TrainingWarning
from fastnn.nn.activations import ACTIVATIONS, WITH_KINK
from fastnn.nn.batch_normalization import BatchNormalization
from fastnn.nn.dropout import Dropout
from fastnn.nn.layer import parameter_names
from fastnn.nn.layers import Affine
from fastnn.nn.modes import call_forward
from fastnn.nn.network_gradient import network_numerical_gradient
from fastnn.nn.numerical_gradient import STEP
from fastnn.nn.optimizers import SGD
from fastnn.nn.placing import copy_layer
from fastnn.nn.sequential import Sequential
from fastnn.training.fit import fit

AGREEMENT = 1e-6
"""How close the numerical gradient has to come in float64."""

FLOOR = 1e-3
"""A gradient whose entries are all smaller is compared absolutely: rounding does not shrink with
it, neither that of the loss in the numerical gradient nor that of ``y - t``."""

SHARE = 0.1
"""In a network, a gradient smaller than this share of the largest one is compared with that share.
Gradients are sums of what the later layers give, and what cancels there leaves rounding of that
size: a bias in front of batch normalisation moves nothing, and its gradient is nothing but that."""

KINK = 1e-5
"""ReLU has no derivative at 0. Samples with an activation closer to it than this, relative to the
largest one, or than the shortest step of the numerical gradient may reach, are left out."""

STEPS = (STEP, 1e-5, 1e-6)
"""Steps of the numerical gradient, relative to the largest entry of what is changed: a smaller one
is tried where a larger one is over the bound, since it may have stepped over a kink, or be too
long. A wrong gradient is wrong for all of them."""

ENTRIES = 64
"""Of each array of a layer so many entries, drawn at random, are held against the numerical
gradient; of the network's parameters all are."""

Arrays = dict[str, np.ndarray[Any, Any]]


def layers_of(network: Sequential, x: Any, t: Any) -> list[LayerByItself]:
    """Take a network apart, each layer with the input that it has there, rounded to float32."""
    parts = []
    for name, layer in network.layers.items():
        parts.append(LayerByItself(name, layer, x))
        x = call_forward(layer, x).astype("float32").astype("float64")
    parts.append(LayerByItself(type(network.last_layer).__name__, network.last_layer, x, t))
    return parts


class WholeNetwork:
    """The whole network: the gradient by each of its parameters."""

    kind, name = "network", "network"

    def __init__(self, network: Sequential, x: Any, t: Any) -> None:
        self.network, self.x, self.t = network, x, t
        self.expected = self.evaluate(network)
        self.floor = max(FLOOR, SHARE * _largest_of(self.expected.values()))
        self.numerical = _numerical(self.expected, self._differences)

    def evaluate(self, twin: Sequential) -> Arrays:
        """Give the gradients of a twin of this network."""
        gradients = twin.gradient(self.x, self.t)
        return {f"d{name}": np.array(host_array(array)) for name, array in gradients.items()}

    def _differences(self, h: float) -> Arrays:
        h *= _step(self.network)
        gradients = network_numerical_gradient(self.network, self.x, self.t, h=h)
        return {f"d{name}": np.array(host_array(array)) for name, array in gradients.items()}

    def at_numerical(self, found: Arrays) -> Arrays:
        """Give those entries that `numerical` has: all."""
        return found


class TrainingStep(WholeNetwork):
    """The gradients by which a step of `fit` changes the parameters.

    It computes them its own way: with ReLU fused, or whatever `Backend.compile` makes of the plan.
    """

    name = "training step"

    def __init__(self, whole: WholeNetwork) -> None:
        self.x, self.t = whole.x, whole.t
        self.expected, self.numerical = whole.expected, whole.numerical
        self.floor = whole.floor
        # So large that no gradient is lost next to its parameter; and a power of 2, which is exact.
        rates = [
            float(np.max(np.abs(host_array(array)))) / _scale(self.expected[f"d{name}"])
            for name, array in whole.network.params.items()
        ]
        self.lr = 2.0 ** math.ceil(math.log2(max([1.0, *rates])))

    def evaluate(self, twin: Sequential) -> Arrays:
        """Give the gradients of a twin of the network, which is left as it is."""
        trained, order = twin.copy(), np.random.default_rng(0).permutation(len(self.x))
        x, t = np.empty_like(self.x), np.empty_like(self.t)
        # So that the batch has its samples in order: dropout depends on their places.
        x[order], t[order] = self.x, self.t
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrainingWarning)  # nobody wants to learn from this step
            fit(
                trained, x, t,
                batch_size=len(x), optimizer=SGD(self.lr), seed=0, progress=False,
            )  # fmt: skip
        before = {name: host_array(array) for name, array in twin.params.items()}
        return {
            f"d{name}": (before[name] - host_array(array)) / self.lr
            for name, array in trained.params.items()
        }


class LayerByItself:
    """A layer by itself: the loss is its output, weighted at random and summed."""

    kind, floor = "layer", FLOOR

    def __init__(self, name: str, layer: Any, x: Any, t: Any | None = None) -> None:
        self.name, self.layer, self.x, self.t = name, layer, x, t
        generator = np.random.default_rng(0)
        shape = np.shape(self._forward(layer, x, t))
        self.dout = generator.standard_normal(shape).astype("float32").astype("float64")
        self.expected = self.evaluate(layer, load_backend("numpy"), "float64")
        self.entries = {
            quantity: self._draw(generator, array.shape)
            for quantity, array in self.expected.items()
            if quantity != "output"
        }
        self.numerical = _numerical(self.at_numerical(self.expected), self._differences)

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> Any:
        """Draw entries of an array, none of them at a kink."""
        size = math.prod(shape)
        candidates = np.arange(size)
        if type(self.layer) in WITH_KINK:
            distance = np.abs(self.x).reshape(-1)
            candidates = np.flatnonzero(distance > 2 * STEPS[-1] * distance.max())
        return np.unravel_index(generator.permutation(candidates)[:ENTRIES], shape)

    def evaluate(self, layer: Any, engine: Backend, dtype: str) -> Arrays:
        """Give the output and the gradients of a twin of this layer."""
        x = engine.asarray(self.x, dtype)
        t = None if self.t is None else engine.asarray(self.t)
        arrays = {"output": self._forward(layer, x, t)}
        if t is None:
            arrays["dx"] = layer.backward(engine.asarray(self.dout, dtype))
        else:
            arrays["dx"] = layer.backward(1)
        for name in parameter_names(layer):
            arrays[f"d{name}"] = getattr(layer, f"d{name}")
        # Copies: a layer of the user's own may write its next gradient to the same array.
        return {quantity: np.array(host_array(array)) for quantity, array in arrays.items()}

    def at_numerical(self, found: Arrays) -> Arrays:
        """Give those entries that `numerical` has."""
        return {quantity: found[quantity][where] for quantity, where in self.entries.items()}

    def _differences(self, relative: float) -> Arrays:
        twin, x = copy_layer(self.layer, load_backend("numpy"), "float64"), self.x.copy()
        moved = {"dx": x, **{f"d{name}": getattr(twin, name) for name in parameter_names(twin)}}
        gradients = {}
        for quantity, where in self.entries.items():
            array, values = moved[quantity], []
            h = relative * self._size(twin, array)
            for index in zip(*where, strict=True):
                before, results = array[index], []
                for step in (h, -h):
                    array[index] = before + step
                    results.append(self._loss(twin, x))
                array[index] = before
                values.append((results[0] - results[1]) / (2 * h))
            gradients[quantity] = np.asarray(values)
        return gradients

    def _size(self, layer: Any, array: Any) -> float:
        """Give what steps are relative to, so that neither rounding nor a kink spoils them."""
        if type(layer) in WITH_KINK:
            return _largest_of([array]) or 1.0
        return max(1.0, _largest_of([array, *[getattr(layer, n) for n in parameter_names(layer)]]))

    def _loss(self, layer: Any, x: Any) -> float:
        output = self._forward(layer, x, self.t)
        return float(output) if self.t is not None else float(np.sum(output * self.dout))

    @staticmethod
    def _forward(layer: Any, x: Any, t: Any | None) -> Any:
        return call_forward(layer, x) if t is None else call_forward(layer, x, t)


def at_kink(network: Sequential, x: Any) -> Any:
    """Tell for which samples a change of a parameter may move an activation over 0.

    A ReLU right after another has no kink of its own, and what comes before the first parameter
    does not move, nor does what is dropped.
    """
    near = np.zeros(len(x), dtype=bool)
    reach, before, still = 0.0, network.last_layer, np.zeros(np.shape(x), dtype=bool)
    for layer in network.layers.values():
        if type(layer) in WITH_KINK and type(before) not in WITH_KINK and reach > 0:
            distance = np.where(still, np.inf, np.abs(x)).reshape(len(x), -1)
            near |= (distance <= max(KINK * np.abs(x).max(), reach)).any(axis=1)
        if isinstance(layer, Affine):
            widest = float(np.abs(layer.W).sum(axis=0).max())
            reach = max(reach * widest, STEPS[-1] * _step(network) * max(1.0, np.abs(x).max()))
        elif parameter_names(layer):
            reach = max(reach, STEPS[-1] * _step(network))
        x = call_forward(layer, x)
        if type(layer) is Dropout:
            still = ~layer.mask | still
            continue
        if type(layer) is BatchNormalization:
            reach *= max(1.0, _largest_of([layer.gamma / layer.std]))
        if type(layer) not in ACTIVATIONS:
            still = np.zeros(np.shape(x), dtype=bool)
        before = layer
    return near


def _step(network: Sequential) -> float:
    """Give what the steps of the parameters are relative to."""
    return max(1.0, _largest_of(network.params.values()))


def _largest_of(arrays: Iterable[Any]) -> float:
    return max([float(np.max(np.abs(array))) for array in arrays], default=0.0)


def _numerical(expected: Arrays, differences: Callable[[float], Arrays]) -> Arrays:
    """Numerical gradients by the longest step, or where that fails by the best of all."""
    best = differences(STEPS[0])
    for h in STEPS[1:]:
        if all(relative_error(expected[q], best[q]) <= AGREEMENT for q in best):
            break
        for quantity, array in differences(h).items():
            right = expected[quantity]
            closer = np.abs(array - right) < np.abs(best[quantity] - right)
            best[quantity] = np.where(closer, array, best[quantity])
    return best


def relative_error(
    found: np.ndarray[Any, Any], right: np.ndarray[Any, Any], floor: float = FLOOR
) -> float:
    """Give the largest difference relative to the largest entry, or to `floor` if that is more."""
    if found.shape != right.shape:
        return float("inf")
    difference = np.abs(found.astype("float64") - right)
    return float(np.max(difference, initial=0.0) / max(floor, _scale(right)))


def _scale(right: np.ndarray[Any, Any]) -> float:
    return max(FLOOR, float(np.max(np.abs(right), initial=0.0)))
