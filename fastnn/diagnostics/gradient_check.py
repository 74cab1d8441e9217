"""Checks on the user's machine that all backends compute the same, and the derivative.

Two comparisons. Backpropagation is held against the numerical gradient, in float64; and every
backend, in every dtype, against NumPy in float64. An error is the largest difference of two
arrays relative to the largest entry of the right one; entries under
`fastnn.diagnostics.checked_parts.FLOOR` count as that large, and in a network those under
`fastnn.diagnostics.checked_parts.SHARE` of the largest of all gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastnn.backends.arrays import host_array
from fastnn.backends.base import Backend
from fastnn.backends.selection import available_backends, load_backend
from fastnn.checks import DTYPES
from fastnn.diagnostics.checked_parts import (
    AGREEMENT,
    Arrays,
    TrainingStep,
    WholeNetwork,
    at_kink,
    layers_of,
    relative_error,
)
from fastnn.nn.found_parameters import no_parameters
from fastnn.nn.modes import check_repeatable, hold_draws
from fastnn.nn.sequential import Sequential
from fastnn.nn.shape_hints import explain
from fastnn.nn.validation import check_finite

NUMERICAL, NUMPY = "numerical gradient", "numpy float64"

BOUNDS = {
    ("layer", NUMERICAL, "float64"): AGREEMENT,
    ("layer", NUMERICAL, "float32"): 1e-5,
    ("layer", NUMPY, "float64"): 1e-12,
    ("layer", NUMPY, "float32"): 1e-5,
    ("network", NUMERICAL, "float64"): AGREEMENT,
    ("network", NUMERICAL, "float32"): 1e-4,
    ("network", NUMPY, "float64"): 1e-10,
    ("network", NUMPY, "float32"): 1e-4,
}
"""Largest error allowed. In a network the rounding of one layer is carried through the others."""


PART, CELL = 22, 24
"""Widths of a report's columns: a layer, in a line of its own if it is longer, and what it is
compared with. With the word behind them they are 80."""


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


@dataclass(frozen=True, repr=False)
class GradientReport:
    """What `check_gradients` found: ``print`` it, or end a notebook's cell with it.

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
        groups: dict[tuple[str, str], dict[str, dict[str, list[Comparison]]]] = {}
        for c in self.comparisons:
            rows = groups.setdefault((c.backend, c.dtype), {})
            rows.setdefault(c.part, {NUMERICAL: [], NUMPY: []})[c.against].append(c)
        lines = []
        for (backend, dtype), rows in groups.items():
            title = f"{backend} {dtype}"
            lines.append(f"{title:{PART}}  {NUMERICAL:{CELL}}  {NUMPY}")
            for part, row in rows.items():
                name = f"  {part}"
                if len(name) > PART:
                    lines.append(name)
                    name = ""
                cells = "  ".join(_largest(row[against]) for against in (NUMERICAL, NUMPY))
                wrong = "" if all(c.passed for found in row.values() for c in found) else " WRONG"
                lines.append(f"{name:{PART}}  {cells}".rstrip() + wrong)
        if self.left_out:
            lines.append(f"{self.left_out} samples at a kink of ReLU were left out")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def as_dict(self) -> dict[str, Any]:
        """Give the report as values for JSON, which has None for an error that is NaN."""
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
        return " " * CELL
    worst = max(comparisons, key=lambda c: math.inf if math.isnan(c.error) else c.error / c.bound)
    sign = "<=" if worst.passed else "> "
    return f"{worst.quantity:7} {worst.error:7.1e} {sign} {worst.bound:.0e}"


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
        As `Sequential.gradient`; if the network has no parameters, `x` or a parameter is not
        finite, `backends` is empty or names none that exists; if every sample lies at a kink of
        ReLU; or if a layer draws at random in training, as dropout.
    BackendUnavailableError
        If a backend that was asked for cannot run here.
    """
    engines = engines_to_check(backends)
    network.find_parameters(x, t)
    if not network.params:
        raise no_parameters(network, "to check")
    for name, array in network.params.items():
        if not np.isfinite(host_array(array)).all():
            raise ValueError(f"parameter {name} holds NaN or infinity: it has no gradient to check")
    # Rounded to float32 first, so that both dtypes compute from the same numbers.
    reference = network.copy().to("numpy").astype("float32").astype("float64")
    hold_draws(reference)
    batch, targets, left_out = _batch(reference, x, t)
    parts, whole = layers_of(reference, batch, targets), WholeNetwork(reference, batch, targets)
    ways: list[WholeNetwork] = [whole]
    if network.replaced_method("loss", "gradient") is None:  # or else fit would not train it
        ways.append(TrainingStep(whole))
    comparisons: list[Comparison] = []
    for engine in engines:
        for dtype in DTYPES:
            twin = reference.copy().to(engine).astype(dtype)
            layers = [*twin.layers.values(), twin.last_layer]
            for part, layer in zip(parts, layers, strict=True):
                found = part.evaluate(layer, engine, dtype)
                comparisons += _compare(part, found, engine.name, dtype)
            for way in ways:
                comparisons += _compare(way, way.evaluate(twin), engine.name, dtype)
    return GradientReport(comparisons, len(batch), left_out)


def engines_to_check(backends: Iterable[str] | None) -> list[Backend]:
    """Load backends by their names; by default all that can run here."""
    if backends is None:
        backends = [name for name, info in available_backends().items() if info.usable]
    names = [backends] if isinstance(backends, str) else list(backends)
    if not names:
        raise ValueError("backends is empty: there is nothing to compare")
    return [load_backend(name) for name in names]


def _batch(network: Sequential, x: object, t: object) -> tuple[Any, Any, int]:
    """Check a batch, leave out the samples that lie at a kink of ReLU, and count these."""
    batch, targets = network.batch_and_targets(x, t)
    check_finite(batch, network.backend)
    batch = batch.astype("float32").astype("float64")
    try:
        network.loss(batch, targets)
    except ValueError as error:
        explain(error, network, x, t)  # by the shapes that were given
        raise
    check_repeatable(network, batch, targets)
    keep = np.arange(len(batch))
    # Where a layer depends on all samples of a batch or on their places, fewer of them move others.
    while (near := at_kink(network, batch[keep])).any():
        keep = keep[~near]
        if not len(keep):
            raise ValueError(
                "every sample has an activation at the kink of ReLU: no gradient to check"
            )
    return batch[keep], targets[keep], len(batch) - len(keep)


def _compare(part: Any, found: Arrays, backend: str, dtype: str) -> Iterator[Comparison]:
    pairs = [(NUMPY, found, part.expected), (NUMERICAL, part.at_numerical(found), part.numerical)]
    for against, arrays, right in pairs:
        bound = BOUNDS[part.kind, against, dtype]
        for quantity in right:
            error = relative_error(arrays[quantity], right[quantity], part.floor)
            yield Comparison(backend, dtype, part.name, quantity, against, error, bound)
