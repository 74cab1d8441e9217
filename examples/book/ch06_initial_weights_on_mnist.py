"""Chapter 6.2.4: the losses of a network with ReLU, by the scale of its initial weights.

Run it as ``python ch06_initial_weights_on_mnist.py [picture]``.
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from fastnn import SGD, MultiLayerNet, fit, smooth_curve
from fastnn.datasets import load_mnist

SCALES: dict[str, float | str] = {"std=0.01": 0.01, "Xavier": "sigmoid", "He": "relu"}


def main(
    picture: str | Path = "ch06_initial_weights_on_mnist.png",
    *,
    epochs: int = 4,
    samples: int = 60_000,
    batch_size: int = 128,
) -> None:
    """Train a network from each scale on the same batches, and draw their losses."""
    (x_train, t_train), _ = load_mnist()
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    for name, scale in SCALES.items():
        network = MultiLayerNet(784, [100] * 4, 10, weight_init_std=scale, seed=0)
        history = fit(
            network, x_train[:samples], t_train[:samples], epochs=epochs, batch_size=batch_size,
            optimizer=SGD(lr=0.01), seed=0, progress=False,
        )  # fmt: skip
        print(f"{name}: loss {history.losses[0]:.4f} at first, {history.losses[-1]:.4f} at last")
        axes.plot(smooth_curve(history.losses), label=name)
    axes.set(xlabel="step", ylabel="loss", ylim=(0, 2.5))
    axes.legend()
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
