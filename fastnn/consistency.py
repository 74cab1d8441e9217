"""Do all backends compute the same, and is it the derivative? On the user's own machine.

Two comparisons. Backpropagation is held against the numerical gradient, in float64; and every
backend, in every dtype, against NumPy in float64. An error is the largest difference of two
arrays relative to the largest entry of the right one; entries under `FLOOR` count as that large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.backends.selection import available_backends, load_backend
from fastnn.backends.transfer import host_array
from fastnn.functions import STEP
from fastnn.gradients import network_numerical_gradient
from fastnn.layers import Affine, Relu, copy_layer, parameter_names
from fastnn.optimizers import SGD
from fastnn.training import fit
from fastnn.validation import DTYPES, check_finite

if TYPE_CHECKING:
    from fastnn.backends.base import Backend
    from fastnn.networks import Sequential

NUMERICAL, NUMPY = "numerical gradient", "numpy float64"

BOUNDS = {
    ("layer", NUMERICAL, "float64"): 1e-6,
    ("layer", NUMERICAL, "float32"): 1e-5,
    ("layer", NUMPY, "float64"): 1e-12,
    ("layer", NUMPY, "float32"): 1e-5,
    ("network", NUMERICAL, "float64"): 1e-6,
    ("network", NUMERICAL, "float32"): 1e-4,
    ("network", NUMPY, "float64"): 1e-10,
    ("network", NUMPY, "float32"): 1e-4,
}
"""Largest error allowed. In a network the rounding of one layer is carried through the others."""

FLOOR = 1e-3
"""A gradient whose entries are all smaller is compared absolutely: rounding does not shrink with
it, neither that of the loss in the numerical gradient nor that of ``y - t``."""

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


@dataclass(frozen=True)
class Comparison:
    """One line of a report.

    Attributes
    ----------
    backend, dtype : str
        What was checked.
    part : str
        A layer of the network, "network" (`Sequential.gradient`), or "training step" (`fit`).
    quantity : str
        Its output, or the gradient by its input or a parameter.
    against : str
        "numerical gradient", or "numpy float64".
    error, bound : float
        Largest relative error, and how large it may be.
    """

    backend: str
    dtype: str
    part: str
    quantity: str
    against: str
    error: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the bound; NaN is not."""
        return self.error <= self.bound


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found.

    Attributes
    ----------
    comparisons : list of Comparison
    samples : int
        Samples that were compared.
    left_out : int
        Samples left out because they lie at a kink of ReLU.
    """

    comparisons: list[Comparison]
    samples: int
    left_out: int

    @property
    def passed(self) -> bool:
        """Whether every error is within its bound."""
        return all(comparison.passed for comparison in self.comparisons)

    def __str__(self) -> str:
        rows: dict[tuple[str, str, str], dict[str, list[Comparison]]] = {}
        for c in self.comparisons:
            row = rows.setdefault((c.backend, c.dtype, c.part), {NUMERICAL: [], NUMPY: []})
            row[c.against].append(c)
        width = max([len(part) for _, _, part in rows], default=0)
        head = f"{'':8} {'':8} {'':{width}}  "
        lines = [head + f"{f'against the {NUMERICAL}':34}  against {NUMPY}"]
        for (backend, dtype, part), row in rows.items():
            cells = "  ".join(_largest(row[against]) for against in (NUMERICAL, NUMPY))
            lines.append(f"{backend:8} {dtype:8} {part:{width}}  {cells}".rstrip())
        if self.left_out:
            lines.append(f"{self.left_out} samples at a kink of ReLU were left out")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Give the report as plain values, for JSON, which has None for an error that is NaN."""
        rows = [
            {**asdict(c), "error": c.error if math.isfinite(c.error) else None, "passed": c.passed}
            for c in self.comparisons
        ]
        return {
            "passed": self.passed,
            "samples": self.samples,
            "left_out": self.left_out,
            "comparisons": rows,
        }


def _largest(comparisons: list[Comparison]) -> str:
    """Tell the comparison that comes closest to its bound, or is furthest over it; NaN is."""
    if not comparisons:
        return " " * 34
    worst = max(comparisons, key=lambda c: math.inf if math.isnan(c.error) else c.error / c.bound)
    sign, verdict = ("<=", "") if worst.passed else ("> ", "WRONG")
    return f"{worst.quantity:6} {worst.error:8.1e} {sign} {worst.bound:.0e} {verdict:5}"


def check_gradients(
    network: Sequential, x: object, t: object, *, backends: Iterable[str] | None = None
) -> GradientReport:
    """Compare the gradients of a network on every usable backend, in every dtype.

    Parameters
    ----------
    network : Sequential
        Left as it is; copies are evaluated.
    x, t : array_like
        A small batch, as for `Sequential.gradient`; finite.
    backends : iterable of str, optional
        Which backends; by default all that can run here.

    Returns
    -------
    GradientReport
        One comparison for each backend, dtype, layer and quantity, for the whole network and
        for a step of training;
        ``str(report)`` is a table of the largest errors, ``report.passed`` the verdict.

    Raises
    ------
    TypeError, ValueError
        As `Sequential.gradient`; if `x` or a parameter is not finite, `backends` is empty or
        names none that exists; or if every sample lies at a kink of ReLU.
    BackendUnavailableError
        If a backend that was asked for cannot run here.
    """
    if backends is None:
        backends = [name for name, info in available_backends().items() if info.usable]
    names = [backends] if isinstance(backends, str) else list(backends)
    if not names:
        raise ValueError("backends is empty: there is nothing to compare")
    engines = [load_backend(name) for name in names]
    for name, array in network.params.items():
        if not np.isfinite(host_array(array)).all():
            raise ValueError(f"parameter {name} holds NaN or infinity: it has no gradient to check")
    # Rounded to float32 first, so that both dtypes compute from the same numbers.
    reference = network.copy().to("numpy").astype("float32").astype("float64")
    batch, targets, keep = _batch(reference, x, t)
    parts, whole = _layers(reference, batch, targets), _Network(reference, batch, targets)
    step = _TrainingStep(whole)
    comparisons: list[Comparison] = []
    for engine in engines:
        for dtype in DTYPES:
            twin = reference.copy().to(engine).astype(dtype)
            layers = [*twin.layers.values(), twin.last_layer]
            for part, layer in zip(parts, layers, strict=True):
                found = part.evaluate(layer, engine, dtype)
                comparisons += _compare(part, found, engine.name, dtype)
            for way in (whole, step):
                comparisons += _compare(way, way.evaluate(twin), engine.name, dtype)
    return GradientReport(comparisons, len(batch), int(np.sum(~keep)))


def _batch(network: Sequential, x: object, t: object) -> tuple[Any, Any, Any]:
    """Check a batch, and leave out the samples that lie at a kink of ReLU."""
    batch, targets = network.batch_and_targets(host_array(x), host_array(t))
    check_finite(batch, network.backend)
    batch = batch.astype("float32").astype("float64")
    network.loss(batch, targets)
    keep = ~_at_kink(network, batch)
    if not keep.any():
        raise ValueError("every sample has an activation at the kink of ReLU: no gradient to check")
    return batch[keep], targets[keep], keep


def _at_kink(network: Sequential, x: Any) -> Any:
    """Tell for which samples a change of a parameter may move an activation over 0.

    A ReLU right behind another has no kink of its own, and what comes before the first parameter
    does not move.
    """
    near = np.zeros(len(x), dtype=bool)
    reach, before = 0.0, network.last_layer
    for layer in network.layers.values():
        if type(layer) is Relu and type(before) is not Relu and reach > 0:
            distance = np.abs(x).reshape(len(x), -1)
            near |= (distance <= max(KINK * distance.max(), reach)).any(axis=1)
        if isinstance(layer, Affine):
            widest = float(np.abs(layer.W).sum(axis=0).max())
            reach = max(reach * widest, STEPS[-1] * _step(network) * max(1.0, np.abs(x).max()))
        elif parameter_names(layer):
            reach = max(reach, STEPS[-1] * _step(network))
        x, before = layer.forward(x), layer
    return near


def _step(network: Sequential) -> float:
    """Give what the steps of the parameters are relative to."""
    return max(1.0, _largest_of(network.params.values()))


def _largest_of(arrays: Iterable[Any]) -> float:
    return max([float(np.max(np.abs(array))) for array in arrays], default=0.0)


def _layers(network: Sequential, x: Any, t: Any) -> list[_Layer]:
    parts = []
    for name, layer in network.layers.items():
        parts.append(_Layer(name, layer, x))
        x = layer.forward(x).astype("float32").astype("float64")
    parts.append(_Layer(type(network.last_layer).__name__, network.last_layer, x, t))
    return parts


class _Network:
    """The whole network: the gradient by each of its parameters."""

    kind, name = "network", "network"

    def __init__(self, network: Sequential, x: Any, t: Any) -> None:
        self.network, self.x, self.t = network, x, t
        self.expected = self.evaluate(network)
        self.numerical = _numerical(self.expected, self._differences)

    def evaluate(self, twin: Sequential) -> Arrays:
        """Give the gradients of a twin of this network."""
        gradients = twin.gradient(self.x, self.t)
        return {f"d{name}": host_array(array) for name, array in gradients.items()}

    def _differences(self, h: float) -> Arrays:
        h *= _step(self.network)
        gradients = network_numerical_gradient(self.network, self.x, self.t, h=h)
        return {f"d{name}": host_array(array) for name, array in gradients.items()}

    def at_numerical(self, found: Arrays) -> Arrays:
        """Give those entries that `numerical` has: all."""
        return found


class _TrainingStep(_Network):
    """The gradients by which a step of `fit` changes the parameters.

    It computes them its own way: with ReLU fused, or whatever `Backend.compile` makes of the plan.
    """

    name = "training step"

    def __init__(self, whole: _Network) -> None:
        self.x, self.t = whole.x, whole.t
        self.expected, self.numerical = whole.expected, whole.numerical
        # So large that no gradient is lost next to its parameter; and a power of 2, which is exact.
        rates = [
            float(np.max(np.abs(host_array(array)))) / _scale(self.expected[f"d{name}"])
            for name, array in whole.network.params.items()
        ]
        self.lr = 2.0 ** math.ceil(math.log2(max([1.0, *rates])))

    def evaluate(self, twin: Sequential) -> Arrays:
        """Give the gradients of a twin of the network, which is left as it is."""
        trained = twin.copy()
        fit(
            trained, self.x, self.t,
            batch_size=len(self.x), optimizer=SGD(self.lr), seed=0, progress=False,
        )  # fmt: skip
        before = {name: host_array(array) for name, array in twin.params.items()}
        return {
            f"d{name}": (before[name] - host_array(array)) / self.lr
            for name, array in trained.params.items()
        }


class _Layer:
    """A layer by itself: the loss is its output, weighted at random and summed."""

    kind = "layer"

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
        if type(self.layer) is Relu:
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
        return {quantity: host_array(array) for quantity, array in arrays.items()}

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
        if type(layer) is Relu:
            return _largest_of([array]) or 1.0
        return max(1.0, _largest_of([array, *[getattr(layer, n) for n in parameter_names(layer)]]))

    def _loss(self, layer: Any, x: Any) -> float:
        output = self._forward(layer, x, self.t)
        return float(output) if self.t is not None else float(np.sum(output * self.dout))

    @staticmethod
    def _forward(layer: Any, x: Any, t: Any | None) -> Any:
        return layer.forward(x) if t is None else layer.forward(x, t)


def _numerical(expected: Arrays, differences: Callable[[float], Arrays]) -> Arrays:
    """Numerical gradients by the longest step, or where that fails by the best of all."""
    best = differences(STEPS[0])
    for h in STEPS[1:]:
        if all(_error(expected[q], best[q]) <= BOUNDS["layer", NUMERICAL, "float64"] for q in best):
            break
        for quantity, array in differences(h).items():
            right = expected[quantity]
            closer = np.abs(array - right) < np.abs(best[quantity] - right)
            best[quantity] = np.where(closer, array, best[quantity])
    return best


def _compare(part: Any, found: Arrays, backend: str, dtype: str) -> Iterator[Comparison]:
    pairs = [(NUMPY, found, part.expected), (NUMERICAL, part.at_numerical(found), part.numerical)]
    for against, arrays, right in pairs:
        bound = BOUNDS[part.kind, against, dtype]
        for quantity in right:
            error = _error(arrays[quantity], right[quantity])
            yield Comparison(backend, dtype, part.name, quantity, against, error, bound)


def _error(found: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float:
    if found.shape != right.shape:
        return float("inf")
    difference = np.abs(found.astype("float64") - right)
    return float(np.max(difference, initial=0.0) / _scale(right))


def _scale(right: np.ndarray[Any, Any]) -> float:
    return max(FLOOR, float(np.max(np.abs(right), initial=0.0)))
