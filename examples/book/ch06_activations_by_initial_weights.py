"""Chapter 6.2: what five hidden layers give, by the scale of the initial weights.

Run it as ``python ch06_activations_by_initial_weights.py [picture]``.

Outputs that are all 0 or 1 let no gradient through, and outputs that are all alike make units that
are all alike. Xavier's scale keeps the outputs of sigmoid spread out, He's those of ReLU.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fastnn import MultiLayerNet, to_numpy

SCALES: dict[str, tuple[str, float | str]] = {
    "sigmoid, std=1": ("sigmoid", 1.0),
    "sigmoid, std=0.01": ("sigmoid", 0.01),
    "sigmoid, Xavier": ("sigmoid", "xavier"),
    "ReLU, std=0.01": ("relu", 0.01),
    "ReLU, Xavier": ("relu", "xavier"),
    "ReLU, He": ("relu", "he"),
}


def outputs(network: MultiLayerNet, x: object) -> list[np.ndarray]:
    """Give what each activation makes of a batch."""
    found, out = [], network.backend.asarray(x, network.dtype)
    for name, layer in network.layers.items():
        out = layer.forward(out)
        if name.startswith("Activation_function"):
            found.append(to_numpy(out))
    return found


def main(
    picture: str | Path = "ch06_activations_by_initial_weights.png", *, samples: int = 1000
) -> None:
    """Print mean and spread of each layer's outputs, and draw how often each value comes."""
    x = np.random.randn(samples, 100)
    figure = Figure(figsize=(12, 12), layout="constrained")
    rows = figure.subplots(len(SCALES), 5, sharex=True)
    for (title, (activation, scale)), row in zip(SCALES.items(), rows, strict=True):
        network = MultiLayerNet(100, [100] * 5, 10, activation, scale, seed=0)
        for number, (axes, values) in enumerate(zip(row, outputs(network, x), strict=True), 1):
            print(f"{title}, layer {number}: mean {values.mean():.4f}, std {values.std():.4f}")
            axes.hist(values.ravel(), bins=30, range=(0, 1))
            title_of_layer = f"{title}, layer {number}"
            axes.set(title=title_of_layer, ylim=(0, values.size / 10), yticks=[])
            axes.title.set_fontsize(8)
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
