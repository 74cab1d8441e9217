"""Chapter 6.4.2: a large network and 300 images, without weight decay and with it.

Run it as ``python ch06_overfitting_weight_decay.py [picture]``.
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from fastnn import SGD, MultiLayerNet, fit
from fastnn.datasets import load_mnist


def main(
    picture: str | Path = "ch06_overfitting_weight_decay.png",
    *,
    epochs: int = 201,
    samples: int = 300,
    tested: int = 10_000,
) -> None:
    """Train both networks, print their accuracies, and draw how these went."""
    (x_train, t_train), (x_test, t_test) = load_mnist()
    x_train, t_train = x_train[:samples], t_train[:samples]
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, decay in zip(figure.subplots(1, 2, sharey=True), (0, 0.1), strict=True):
        network = MultiLayerNet(784, [100] * 6, 10, weight_decay_lambda=decay, seed=0)
        history = fit(
            network, x_train, t_train, epochs=epochs, optimizer=SGD(lr=0.01), seed=0,
            validation=(x_test[:tested], t_test[:tested]), progress=False,
        )  # fmt: skip
        train, test = history.train_accuracies, history.validation_accuracies
        print(f"weight decay {decay}: train accuracy {train[-1]:.4f}, test accuracy {test[-1]:.4f}")
        axes.plot(train, label="train")
        axes.plot(test, label="test")
        axes.set(title=f"weight decay {decay}", xlabel="epoch", ylabel="accuracy", ylim=(0, 1.03))
        axes.legend()
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
