"""Chapter 6.5: search for a learning rate and a weight decay by chance.

Run it as ``python ch06_hyperparameters.py [picture]``.

Both are drawn uniformly in their logarithm, and judged on images that are held out of the training
data; the test data has no say in it.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fastnn import MultiLayerNet, Trainer, shuffle_dataset
from fastnn.datasets import load_mnist

DECAYS, RATES = (-8.0, -4.0), (-6.0, -2.0)
"""From which power of 10 to which."""

SHOWN = 20
"""How many of the best are drawn."""


def main(
    picture: str | Path = "ch06_hyperparameters.png",
    *,
    trials: int = 100,
    epochs: int = 50,
    samples: int = 500,
) -> None:
    """Train a network with each pair of numbers, print the best ones and draw their curves."""
    (x, t), _ = load_mnist()
    x, t = shuffle_dataset(x[:samples], t[:samples])
    kept = samples // 5

    found = []
    for trial in range(trials):
        decay, lr = (10 ** np.random.uniform(*powers) for powers in (DECAYS, RATES))
        network = MultiLayerNet(784, [100] * 6, 10, weight_decay_lambda=decay, seed=trial)
        trainer = Trainer(
            network, x[kept:], t[kept:], x[:kept], t[:kept], epochs=epochs, mini_batch_size=100,
            optimizer="SGD", optimizer_param={"lr": lr}, verbose=False,
        )  # fmt: skip
        trainer.train()
        found.append((trainer, lr, decay))
    found.sort(key=lambda one: one[0].test_acc_list[-1], reverse=True)

    figure = Figure(figsize=(12, 9), layout="constrained")
    every = figure.subplots(4, SHOWN // 4, sharex=True, sharey=True).flat
    for rank, ((trainer, lr, decay), axes) in enumerate(zip(found, every, strict=False), 1):
        accuracy = trainer.test_acc_list[-1]
        print(f"best-{rank}: accuracy {accuracy:.3f}, lr {lr:.3g}, weight decay {decay:.3g}")
        axes.plot(trainer.test_acc_list, label="held out")
        axes.plot(trainer.train_acc_list, "--", label="train")
        axes.set(ylim=(0, 1.03))
        axes.set_title(f"best-{rank}: lr {lr:.2g}, decay {decay:.1g}", fontsize=9)
    figure.axes[0].legend()
    figure.suptitle("accuracy after each epoch")
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
