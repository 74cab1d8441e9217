"""Chapters 4.5 and 5.7: train a network of two layers by a loop of one's own.

Run it as ``python ch04_train_two_layer_net.py [picture]``.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fastnn import SGD, TwoLayerNet, smooth_curve
from fastnn.datasets import load_mnist


def main(
    picture: str | Path = "ch04_train_two_layer_net.png",
    *,
    steps: int = 10_000,
    samples: int = 60_000,
    batch_size: int = 100,
) -> None:
    """Train, print the accuracies of each epoch, and draw them and the loss."""
    (x_train, t_train), (x_test, t_test) = load_mnist()
    x_train, t_train = x_train[:samples], t_train[:samples]
    network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10, seed=0)
    optimizer = SGD(lr=0.1)
    per_epoch = max(len(x_train) // batch_size, 1)

    losses: list[float] = []
    accuracies: list[tuple[float, float]] = []
    for step in range(steps):
        rows = np.random.choice(len(x_train), batch_size)
        x_batch, t_batch = x_train[rows], t_train[rows]
        optimizer.update(network.params, network.gradient(x_batch, t_batch))
        losses.append(network.loss(x_batch, t_batch))
        if step % per_epoch == 0:
            train, test = network.accuracy(x_train, t_train), network.accuracy(x_test, t_test)
            print(f"epoch {len(accuracies)}: train accuracy {train:.4f}, test accuracy {test:.4f}")
            accuracies.append((train, test))

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(losses, alpha=0.3, label="of each step")
    left.plot(smooth_curve(losses), label="smooth")
    left.set(xlabel="step", ylabel="loss")
    left.legend()
    for name, values in zip(("train", "test"), zip(*accuracies, strict=True), strict=True):
        right.plot(range(len(values)), values, marker=".", label=name)
    right.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.03))
    right.legend()
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
