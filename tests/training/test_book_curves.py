"""Curves of the book's chapters 4 to 6 against its formulas in float64, on every backend.

The first 100 losses that `Trainer` gives are those of the formulas from the same initial weights
and on the same batches, and so are the accuracies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import MultiLayerNet, Trainer
from fastnn.backends import Backend
from fastnn.backends.selection import load_backend
from fastnn.datasets.directory import DataSet
from tests.helpers.book_network import BookNetwork
from tests.helpers.book_optimizers import ByFormula
from tests.helpers.exhaustive import exhaustive_but

STEPS, SAMPLES, BATCH = 100, 300, 30

CURVES: dict[str, tuple[str, float, dict[str, Any]]] = {
    "SGD": ("SGD", 0.1, {}),
    "Momentum": ("Momentum", 0.01, {}),
    "Nesterov": ("Nesterov", 0.01, {}),
    "AdaGrad": ("AdaGrad", 0.01, {}),
    "RMSprop": ("RMSprop", 0.001, {}),
    "Adam": ("Adam", 0.001, {}),
    "sigmoid from Xavier's weights": (
        "SGD", 0.5, {"activation": "sigmoid", "weight_init_std": "xavier"},
    ),
    "std=0.01": ("Momentum", 0.01, {"weight_init_std": 0.01}),
    "weight decay": ("SGD", 0.01, {"weight_decay_lambda": 0.1}),
    "batch normalisation": ("SGD", 0.05, {"weight_init_std": 0.1, "use_batchnorm": True}),
    "dropout": ("SGD", 0.05, {"use_dropout": True, "dropout_ration": 0.2}),
    "all of it": (
        "Adam", 0.001,
        {
            "activation": "sigmoid", "weight_init_std": "sigmoid", "weight_decay_lambda": 0.001,
            "use_dropout": True, "dropout_ration": 0.1, "use_batchnorm": True,
        },
    ),
}  # fmt: skip
"""Optimizer, learning rate and what the network is made with."""


class Masks:
    """The masks of a network's dropout, which the book draws from ``numpy.random``: by NumPy."""

    def __init__(self, network: MultiLayerNet) -> None:
        self.keys = [
            layer.key for layer in network.layers.values() if isinstance(layer, fastnn.Dropout)
        ]
        self.draws = [0] * len(self.keys)

    def __call__(self, number: int, shape: tuple[int, ...], ratio: float) -> Any:
        draw = self.draws[number - 1]
        self.draws[number - 1] += 1
        ones, key = np.ones(shape), self.keys[number - 1]
        return load_backend("numpy").dropout(ones, draw, ratio=ratio, key=key)[1]


def reference_of(network: MultiLayerNet, options: dict[str, Any]) -> BookNetwork:
    params = {name: fastnn.to_numpy(array) for name, array in network.params.items()}
    return BookNetwork(
        params,
        options.get("activation", "relu"),
        options.get("weight_decay_lambda", 0.0),
        batchnorm=options.get("use_batchnorm", False),
        masks=Masks(network) if options.get("use_dropout") else None,
        dropout_ratio=options.get("dropout_ration", 0.0),
    )


@pytest.mark.parametrize("dtype", exhaustive_but(["float64"], ["float32", "float64"]))
@pytest.mark.parametrize(
    "name", exhaustive_but(["SGD", "Adam", "weight decay", "all of it"], CURVES)
)
def test_the_first_100_losses(backend: Backend, dtype: str, name: str, mnist: DataSet) -> None:
    if backend.name == "strict":
        pytest.skip("an engine for tests, on which this takes minutes")
    optimizer, lr, options = CURVES[name]
    (x, t), (x_test, t_test) = mnist
    x, t, x_test, t_test = x[:SAMPLES], t[:SAMPLES], x_test[:200], t_test[:200]
    network = MultiLayerNet(784, [30, 20], 10, dtype=dtype, seed=1, **options)
    book = reference_of(network, options)
    np.random.seed(0)  # noqa: NPY002
    trainer = Trainer(
        network, x, t, x_test, t_test, epochs=STEPS * BATCH // SAMPLES, mini_batch_size=BATCH,
        optimizer=optimizer, optimizer_param={"lr": lr}, verbose=False,
    )  # fmt: skip
    trainer.train()
    assert len(trainer.train_loss_list) == STEPS
    np.random.seed(0)  # noqa: NPY002
    rule, losses, accuracies = ByFormula(optimizer, lr), [], []
    wide, wide_test = x.astype("float64"), x_test.astype("float64")
    for step in range(STEPS):
        rows = np.random.choice(SAMPLES, BATCH)  # noqa: NPY002
        rule.update(book.params, book.gradient(wide[rows], t[rows]))
        losses.append(book.loss(wide[rows], t[rows]))
        if step % (SAMPLES // BATCH) == 0:
            accuracies.append((book.accuracy(wide, t), book.accuracy(wide_test, t_test)))
    rtol = 1e-8 if dtype == "float64" else 2e-3
    np.testing.assert_allclose(trainer.train_loss_list, losses, rtol=rtol)
    found = list(zip(trainer.train_acc_list, trainer.test_acc_list, strict=True))
    np.testing.assert_allclose(found, accuracies, atol=1e-12 if dtype == "float64" else 0.011)
    assert losses[-1] < losses[0]
