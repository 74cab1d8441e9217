"""Chapter 6.1.8: the losses of four optimizers on MNIST, with a network of five layers.

Run it as ``python ch06_optimizers_on_mnist.py [picture]``.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fastnn import SGD, AdaGrad, Adam, Momentum, MultiLayerNet, smooth_curve
from fastnn.datasets import load_mnist


def main(
    picture: str | Path = "ch06_optimizers_on_mnist.png",
    *,
    steps: int = 2000,
    batch_size: int = 128,
) -> None:
    """Train a network by each optimizer on the same batches, and draw their losses."""
    (x_train, t_train), _ = load_mnist()
    optimizers = [SGD(), Momentum(), AdaGrad(), Adam()]
    networks = [
        MultiLayerNet(input_size=784, hidden_size_list=[100] * 4, output_size=10, seed=0)
        for _ in optimizers
    ]
    losses: list[list[float]] = [[] for _ in optimizers]
    for step in range(steps):
        rows = np.random.choice(len(x_train), batch_size)
        x_batch, t_batch = x_train[rows], t_train[rows]
        for network, optimizer, seen in zip(networks, optimizers, losses, strict=True):
            optimizer.update(network.params, network.gradient(x_batch, t_batch))
            seen.append(network.loss(x_batch, t_batch))
        if step % 100 == 0:
            now = ", ".join(
                f"{type(optimizer).__name__} {seen[-1]:.4f}"
                for optimizer, seen in zip(optimizers, losses, strict=True)
            )
            print(f"step {step}: {now}")

    figure = Figure(layout="constrained")
    axes = figure.subplots()
    for optimizer, seen in zip(optimizers, losses, strict=True):
        axes.plot(smooth_curve(seen), label=type(optimizer).__name__)
    axes.set(xlabel="step", ylabel="loss", ylim=(0, 1))
    axes.legend()
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
