"""Chapter 6.4.3: a large network and 300 images, without dropout and with it.

Run it as ``python ch06_overfitting_dropout.py [picture]``.
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from fastnn import MultiLayerNet, Trainer
from fastnn.datasets import load_mnist


def main(
    picture: str | Path = "ch06_overfitting_dropout.png",
    *,
    epochs: int = 301,
    samples: int = 300,
    tested: int = 10_000,
) -> None:
    """Train both networks, print their accuracies, and draw how these went."""
    (x_train, t_train), (x_test, t_test) = load_mnist()
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, ratio in zip(figure.subplots(1, 2, sharey=True), (0, 0.2), strict=True):
        network = MultiLayerNet(
            784, [100] * 6, 10, use_dropout=ratio > 0, dropout_ratio=ratio, seed=0
        )
        trainer = Trainer(
            network, x_train[:samples], t_train[:samples], x_test[:tested], t_test[:tested],
            epochs=epochs, mini_batch_size=100, optimizer="SGD", optimizer_param={"lr": 0.01},
            verbose=False,
        )  # fmt: skip
        trainer.train()
        train, test = trainer.train_acc_list, trainer.test_acc_list
        print(f"dropout {ratio}: train accuracy {train[-1]:.4f}, test accuracy {test[-1]:.4f}")
        axes.plot(train, label="train")
        axes.plot(test, label="test")
        axes.set(title=f"dropout {ratio}", xlabel="epoch", ylabel="accuracy", ylim=(0, 1.03))
        axes.legend()
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
