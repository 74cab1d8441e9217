"""Networks, data and training by chance, each from a seed; and the same in float64 NumPy.

The short tests take the first of them, the long ones in `tests/soak` go on.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastnn
from fastnn import SGD, Affine, Relu, Sequential
from fastnn.errors import TrainingWarning
from tests.helpers.layers import Scale

Array = np.ndarray[Any, Any]

BOUNDS = {"float64": 1e-12, "float32": 3e-5}
KINKS = {"float64": 1e-11, "float32": 3e-6}
"""So near to 0, relative to the others, rounding decides on which side of a ReLU a number is."""

WIDTHS = [1, 2, 3, 5, 8, 10, 16, 17, 31, 33, 50, 64, 65, 100, 129, 257, 300]


@dataclass
class Case:
    """A network as a list of its parameters (``"relu"``, gamma or W and b), and data for it."""

    seed: int
    layers: list[Any]
    dtype: str
    x: Array
    t: Array
    batch: int
    epochs: int
    lr: float

    def network(self) -> Sequential:
        """Make the network on the active backend."""
        return Sequential(
            [
                Relu() if layer == "relu" else [Scale, Affine][len(layer) - 1](*map(np.copy, layer))
                for layer in self.layers
            ]
        )

    def fit(self) -> tuple[list[float], Sequential]:
        """Train a network on the active backend: the losses, and the network."""
        network = self.network()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrainingWarning)  # some of the data is of bytes
            history = fastnn.fit(
                network, self.x, self.t, epochs=self.epochs, batch_size=self.batch,
                optimizer=SGD(self.lr), seed=self.seed, progress=False,
            )  # fmt: skip
        return history.losses, network

    def rows(self) -> Iterator[Array]:
        """The samples of each step of `fit`."""
        order = np.random.default_rng(self.seed)
        for _ in range(self.epochs):
            samples = order.permutation(len(self.x))
            yield from np.split(samples, range(self.batch, len(samples), self.batch))


def sizes(rng: np.random.Generator, most: int = 4) -> list[int]:
    """Numbers of features, hidden units and classes: often small, at times beside a round one."""
    return [int(rng.choice(WIDTHS)) for _ in range(rng.integers(2, most + 2))]


def case(seed: int) -> Case:
    """Make the case of a seed."""
    rng = np.random.default_rng(seed)
    widths, dtype = sizes(rng), str(rng.choice(["float32", "float64"]))
    samples = int(rng.integers(1, 200))
    batch = int(rng.integers(1, min(samples, 130) + 1))
    kind = str(rng.choice(["uint8", "int8", "float32", "float64"]))
    values = rng.standard_normal((samples, widths[0]))
    if kind in ("uint8", "int8"):
        values = np.clip(np.round(100 * values), 0 if kind == "uint8" else -100, 100)
    x = np.where(rng.random(values.shape) < rng.choice([0.05, 0.2, 0.5, 1]), values, 0).astype(kind)
    largest = max(1.0, float(np.abs(x.astype(float)).max()))
    # Some are sure to be compiled as a whole; the others may run layer by layer.
    compilable = rng.random() < 0.6
    layers: list[Any] = [] if compilable or rng.random() < 0.7 else ["relu"]
    for inputs, outputs in itertools.pairwise(widths):
        std = np.sqrt(2 / inputs) / (largest if len(layers) < 2 else 1)
        W = std * rng.standard_normal((inputs, outputs))
        layers.append((W.astype(dtype), (0.1 * rng.standard_normal(outputs)).astype(dtype)))
        if compilable:
            layers.append("relu")
            continue
        layers += ["relu"] * int(rng.choice([0, 1, 1, 2]))
        if rng.random() < 0.2:
            layers.append((rng.uniform(0.5, 1.5, outputs).astype(dtype),))
    return Case(
        seed=seed,
        layers=layers[:-1] if compilable else layers,
        dtype=dtype,
        x=x,
        t=rng.integers(0, widths[-1], samples).astype(rng.choice(["int64", "uint8", "int32"]))
        if widths[-1] < 128
        else rng.integers(0, widths[-1], samples),
        batch=batch,
        epochs=int(rng.integers(1, 3)),
        lr=float(rng.choice([0.01, 0.1])) / largest**2,
    )


class Reference:
    """The network of a case in NumPy and float64, as the book derives it."""

    def __init__(self, made: Case) -> None:
        self.made = made
        self.layers = [
            layer if layer == "relu" else [p.astype("float64") for p in layer]
            for layer in made.layers
        ]
        self.x = made.x.astype(made.dtype).astype("float64")
        self.margin = np.inf
        """How near to 0 an input of a ReLU came that was not 0, relative to the largest."""

    def parameters(self) -> list[Array]:
        """All parameters, in the order of the network's."""
        return [p for layer in self.layers if layer != "relu" for p in layer]

    def gradient(self, rows: Array) -> tuple[float, list[Array], list[float]]:
        """Loss and gradients; and for each how large the numbers are that cancel in it."""
        x, kept = self.x[rows], []
        for layer in self.layers:
            kept.append(x)
            if layer == "relu":
                sizes = np.abs(x[x != 0])
                if sizes.size:
                    self.margin = min(self.margin, float(sizes.min() / max(1.0, sizes.max())))
                x = np.where(x > 0, x, 0)
            else:
                x = x * layer[0] if len(layer) == 1 else x @ layer[0] + layer[1]
        shifted = x - x.max(axis=1, keepdims=True)
        logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        number, labels = np.arange(len(rows)), self.made.t[rows].astype(int)
        loss = float(-logarithms[number, labels].mean())
        dout = np.exp(logarithms)
        dout[number, labels] -= 1
        dout /= len(rows)
        gradients: list[Array] = []
        cancelled: list[float] = []
        for layer, x in zip(reversed(self.layers), reversed(kept), strict=True):
            if layer == "relu":
                dout = np.where(x > 0, dout, 0)
            elif len(layer) == 1:
                gradients.insert(0, (dout * x).sum(axis=0))
                cancelled.insert(0, float(np.abs(dout * x).sum(axis=0).max()))
                dout = dout * layer[0]
            else:
                gradients[:0] = [x.T @ dout, dout.sum(axis=0)]
                sums = np.abs(x).T @ np.abs(dout), np.abs(dout).sum(axis=0)
                cancelled[:0] = [float(some.max()) for some in sums]
                dout = dout @ layer[0].T
        return loss, gradients, cancelled

    def fit(self) -> list[float]:
        """Train as `Case.fit` does, and give the losses."""
        losses = []
        for rows in self.made.rows():
            loss, gradients, _ = self.gradient(rows)
            losses.append(loss)
            for parameter, gradient in zip(self.parameters(), gradients, strict=True):
                parameter -= self.made.lr * gradient
        return losses


def errors(made: Case) -> list[float]:
    """Errors of loss, gradients and a training on the active backend; none if a kink decides."""
    reference = Reference(made)
    loss, gradients, cancelled = reference.gradient(np.arange(len(made.x)))
    if reference.margin < KINKS[made.dtype]:
        return []
    network = made.network()
    found = [fastnn.to_numpy(g) for g in network.gradient(made.x, made.t).values()]
    assert all(array.dtype == made.dtype for array in found), made.seed
    errors = [abs(network.loss(made.x, made.t) - loss) / max(1.0, loss)]
    for one, right, size in zip(found, gradients, cancelled, strict=True):
        assert one.shape == right.shape, made.seed
        errors.append(float(np.abs(one - right).max() / max(size, 1e-3)))
    right_losses = reference.fit()
    if reference.margin < KINKS[made.dtype]:
        return errors
    losses, network = made.fit()
    errors.append(float(np.abs(np.array(losses) - right_losses).max() / max(1.0, *right_losses)))
    for one, right in zip(network.params.values(), reference.parameters(), strict=True):
        errors.append(float(np.abs(fastnn.to_numpy(one) - right).max() / np.abs(right).max()))
    return errors


def check_case(seed: int) -> int:
    """See that a case is right on the active backend; give how many figures were compared."""
    made = case(seed)
    found = errors(made)
    assert max(found, default=0.0) <= BOUNDS[made.dtype], (seed, made.dtype, found)
    return len(found)
