"""Chapter 6.3.2: batch normalisation learns from initial weights of nearly any scale.

Run it as ``python ch06_batch_normalization.py [picture]``.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fastnn import SGD, History, MultiLayerNet, Sequential, TrainingWarning, fit
from fastnn.datasets import load_mnist


def accuracies(
    x: np.ndarray, t: np.ndarray, scale: float, *, normalised: bool, epochs: int
) -> list[float]:
    """Train a network of six layers, and give its accuracy after each epoch."""
    network = MultiLayerNet(
        784, [100] * 5, 10, weight_init_std=scale, use_batchnorm=normalised, seed=0
    )
    found: list[float] = []

    def evaluate(network: Sequential, history: History) -> None:
        found.append(network.accuracy(x, t))

    fit(
        network, x, t, epochs=epochs, optimizer=SGD(lr=0.01), seed=0, callbacks=[evaluate],
        progress=False,
    )  # fmt: skip
    return found


def main(
    picture: str | Path = "ch06_batch_normalization.png",
    *,
    epochs: int = 20,
    samples: int = 1000,
    scales: int = 16,
) -> None:
    """Train with and without it from each scale, print and draw the accuracies."""
    (x, t), _ = load_mnist()
    x, t = x[:samples], t[:samples]
    figure = Figure(figsize=(10, 10), layout="constrained")
    every = figure.subplots(4, -(-scales // 4), sharex=True, sharey=True, squeeze=False).T.flat
    for scale, axes in zip(np.logspace(0, -4, num=scales), every, strict=False):
        with warnings.catch_warnings():  # some of these networks are there to show that they fail
            warnings.simplefilter("ignore", TrainingWarning)
            with_it = accuracies(x, t, float(scale), normalised=True, epochs=epochs)
            without = accuracies(x, t, float(scale), normalised=False, epochs=epochs)
        print(f"std {scale:.4g}: accuracy {with_it[-1]:.3f} with it, {without[-1]:.3f} without")
        axes.plot(with_it, label="with it")
        axes.plot(without, "--", label="without")
        axes.set(title=f"std {scale:.4g}", ylim=(0, 1.03))
    figure.axes[0].legend()
    figure.suptitle("accuracy after each epoch, with batch normalisation and without")
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
