"""What is measured: a network, a batch size, a data set, a dtype; the same for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fastnn.datasets import load_mnist

Array = np.ndarray[Any, Any]

SEED = 20261124
RATES = {"Momentum": 0.01, "Adam": 0.001}
PROOF_STEPS = 20
"""Steps after which every contestant must have come to the same parameters."""


class Product(NamedTuple):
    """Shapes of a product, (n, k) by (k, m).

    ``transposed``: the first operand is one of (k, n) that lies the other way round, as a batch
    does for the gradient by weights.
    """

    n: int
    k: int
    m: int
    transposed: bool = False


@dataclass(frozen=True)
class Workload:
    """Training of a network on 60,000 samples, from given initial weights.

    Attributes
    ----------
    layers : tuple of int
        Features, the units of each hidden layer, classes.
    batch : int
        Samples of a step.
    data : {"mnist", "noise"}
        The real images, 81 % of whose pixels are 0; or as many samples without a single zero,
        labelled by a random linear map, so that there is something to learn.
    dtype : {"float32", "float64"}
        Of parameters and computation.
    activation : {"relu", "sigmoid", "tanh"}
        Between the Affine layers.
    optimizer : {"SGD", "Momentum", "Adam"}
        By the book's formulas, with its defaults for all but the learning rate.
    normalised : bool
        Whether a batch normalisation stands before each activation.
    dropout : float
        The share of units that is dropped behind each activation.
    """

    layers: tuple[int, ...] = (784, 50, 10)
    batch: int = 100
    data: str = "mnist"
    dtype: str = "float32"
    activation: str = "relu"
    optimizer: str = "SGD"
    normalised: bool = False
    dropout: float = 0.0

    @property
    def name(self) -> str:
        """The sizes, as people say them: ``784-50-10``."""
        return "-".join(map(str, self.layers))

    @property
    def parts(self) -> list[str]:
        """What is not ReLU with SGD, in words: such as ``["Tanh", "Adam"]``."""
        parts = [] if self.activation == "relu" else [self.activation.capitalize()]
        parts += ["batch normalisation"] if self.normalised else []
        parts += [f"Dropout {self.dropout:g}"] if self.dropout else []
        return parts + ([] if self.optimizer == "SGD" else [self.optimizer])

    @property
    def hidden(self) -> tuple[int, ...]:
        """The units of each hidden layer."""
        return self.layers[1:-1]

    @property
    def is_of_two_layers(self) -> bool:
        """Whether it is the book's network of chapters 4 and 5 under plain SGD."""
        return len(self.layers) == 3 and not self.parts

    @property
    def learning_rate(self) -> float:
        """Such that training neither diverges nor stands still; it does not change the time."""
        if self.optimizer != "SGD":
            return RATES[self.optimizer]
        if self.dropout:
            return 0.01
        return 0.1 if self.data == "mnist" else 0.01

    @property
    def x(self) -> Array:
        """The data set, (60000, D), in `dtype`."""
        return _images(self.data, self.layers[0], self.dtype)

    @property
    def t(self) -> Array:
        """Labels as indices of classes, (60000,), int64."""
        labels: Array = _labels(self.data, self.layers[0], self.layers[-1])
        return labels

    def initial(self) -> dict[str, Array]:
        """Give new arrays of the initial ``W1 b1 gamma1 beta1 W2 b2 ...``.

        They are those of ``TwoLayerNet(seed=SEED)``, or of a `MultiLayerNet` with He's scale for
        ReLU and Xavier's for the others.
        """
        generator = np.random.default_rng(SEED)
        parameters: dict[str, Array] = {}
        for number, (inputs, outputs) in enumerate(pairwise(self.layers), 1):
            W = self._initial_std(inputs) * generator.standard_normal((inputs, outputs))
            parameters |= {f"W{number}": W, f"b{number}": np.zeros(outputs)}
            if self.normalised and number <= len(self.hidden):
                parameters[f"gamma{number}"] = np.ones(outputs)
                parameters[f"beta{number}"] = np.zeros(outputs)
        return {name: array.astype(self.dtype) for name, array in parameters.items()}

    def _initial_std(self, inputs: int) -> float:
        if len(self.layers) == 3:
            return 0.01
        return float(np.sqrt((2 if self.activation == "relu" else 1) / inputs))

    def proof_rows(self) -> Array:
        """Give the batches, (PROOF_STEPS, batch), after which all contestants must agree.

        They are those that ``fastnn.fit(seed=SEED)`` takes of the first samples.
        """
        return self.rows(PROOF_STEPS, np.random.default_rng(SEED), PROOF_STEPS * self.batch)

    def rows(self, steps: int, generator: np.random.Generator, samples: int = 60000) -> Array:
        """Draw which samples make the batches, (steps, batch), int64: each once an epoch."""
        drawn = generator.permutation(samples)
        while drawn.size < steps * self.batch:
            drawn = np.concatenate([drawn, generator.permutation(samples)])
        return drawn[: steps * self.batch].reshape(steps, self.batch)

    def products(self) -> list[Product]:
        """The matrix products that a training step cannot do without."""
        N = self.batch
        forward = [Product(N, D, H) for D, H in pairwise(self.layers)]
        by_inputs = [Product(N, H, D) for D, H in pairwise(self.layers)][1:]
        by_weights = [Product(D, N, H, transposed=True) for D, H in pairwise(self.layers)]
        return forward + by_inputs + by_weights

    @property
    def flops(self) -> int:
        """Floating-point operations of these products."""
        return sum(2 * one.n * one.k * one.m for one in self.products())


SIZES = {
    "784-50-10": Workload((784, 50, 10), 100),
    "784-512-10": Workload((784, 512, 10), 128),
    "784-2048-10": Workload((784, 2048, 10), 512),
}
"""The book's network in three sizes, on every data set in every dtype."""

PARTS = {
    "momentum": Workload(optimizer="Momentum"),
    "adam": Workload(optimizer="Adam"),
    "sigmoid": Workload(activation="sigmoid"),
    "mlp-classifier": Workload((784, 100, 10), 200, optimizer="Adam"),
    "deep": Workload((784, *[100] * 4, 10), 128, optimizer="Momentum"),
    "batch-normalisation": Workload((784, *[100] * 5, 10), normalised=True),
    "dropout": Workload((784, *[100] * 6, 10), dropout=0.2),
    "tanh": Workload((28, *[300] * 5, 2), data="noise", activation="tanh", optimizer="Adam"),
    "dense-adam": Workload((64, 256, 128, 10), 256, "noise", optimizer="Adam"),
}
"""Other networks and optimizers, each on its own data in float32.

``mlp-classifier`` has the defaults of scikit-learn's `MLPClassifier` but for its weight decay,
``tanh`` is the network that others measure on HIGGS: 28 features, dense.
"""

ROWS = {**SIZES, **PARTS}


@lru_cache(maxsize=2)
def _images(data: str, features: int, dtype: str) -> Array:
    if dtype == "float64":
        return _images(data, features, "float32").astype(dtype)
    if data == "mnist":
        images = load_mnist()[0][0]
        if features != images.shape[1]:
            raise ValueError(f"MNIST has {images.shape[1]} features, the network {features}")
        return images
    if data != "noise":
        raise ValueError(f"there is no data {data!r}: choose 'mnist' or 'noise'")
    noise = np.random.default_rng(SEED).random((60000, features), dtype="float32")
    return np.maximum(noise, np.float32(1e-6), out=noise)


@lru_cache(maxsize=2)
def _labels(data: str, features: int, classes: int) -> Any:
    if data == "mnist":
        return load_mnist()[0][1]
    teacher = np.random.default_rng(SEED).standard_normal((features, classes)).astype("float32")
    return ((_images(data, features, "float32") - np.float32(0.5)) @ teacher).argmax(axis=1)
