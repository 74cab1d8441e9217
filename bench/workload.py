"""What is measured: a network, a batch size, a data set, a dtype; the same for everybody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fastnn.datasets import load_mnist

Array = np.ndarray[Any, Any]

SEED = 20261124
PROOF_STEPS = 20
"""Steps after which every contestant must have come to the same parameters."""


@dataclass(frozen=True)
class Workload:
    """Training of a two-layer network on 60,000 samples, from given initial weights.

    Attributes
    ----------
    layers : tuple of int
        Features, hidden units, classes.
    batch : int
        Samples of a step.
    data : {"mnist", "noise"}
        The real images, 81 % of whose pixels are 0; or as many samples without a single zero,
        labelled by a random linear map, so that there is something to learn.
    dtype : {"float32", "float64"}
        Of parameters and computation.
    """

    layers: tuple[int, int, int] = (784, 50, 10)
    batch: int = 100
    data: str = "mnist"
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """The sizes, as people say them: ``784-50-10``."""
        return "-".join(map(str, self.layers))

    @property
    def learning_rate(self) -> float:
        """Such that training neither diverges nor stands still; it does not change the time."""
        return 0.1 if self.data == "mnist" else 0.01

    @property
    def x(self) -> Array:
        """The data set, (60000, D), in `dtype`."""
        return _images(self.data, self.layers[0], self.dtype)

    @property
    def t(self) -> Array:
        """Labels as indices of classes, (60000,), int64."""
        labels: Array = _labels(self.data, self.layers[0], self.layers[2])
        return labels

    def initial(self) -> dict[str, Array]:
        """Give new arrays of the initial ``W1 b1 W2 b2``, those of ``TwoLayerNet(seed=SEED)``."""
        generator = np.random.default_rng(SEED)
        D, H, C = self.layers
        W1 = 0.01 * generator.standard_normal((D, H))
        W2 = 0.01 * generator.standard_normal((H, C))
        parameters = {"W1": W1, "b1": np.zeros(H), "W2": W2, "b2": np.zeros(C)}
        return {name: array.astype(self.dtype) for name, array in parameters.items()}

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

    def products(self) -> list[tuple[int, int, int]]:
        """Shapes (n, k, m) of the matrix products that a training step cannot do without."""
        N, (D, H, C) = self.batch, self.layers
        return [(N, D, H), (N, H, C), (N, C, H), (H, N, C), (D, N, H)]

    @property
    def flops(self) -> int:
        """Floating-point operations of these products."""
        return sum(2 * n * k * m for n, k, m in self.products())


SIZES = {
    "784-50-10": Workload((784, 50, 10), 100),
    "784-512-10": Workload((784, 512, 10), 128),
    "784-2048-10": Workload((784, 2048, 10), 512),
}
"""The three networks of every table."""


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
