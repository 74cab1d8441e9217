"""Chapter 6.1: the ways of four optimizers through a valley, ``x**2 / 20 + y**2``.

Run it as ``python ch06_optimizers_on_a_valley.py [picture]``.

An optimizer updates any dictionary of parameters by one of gradients, here of plain numbers.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fastnn import SGD, AdaGrad, Adam, Momentum, Optimizer


def valley(x: Any, y: Any) -> Any:
    return x**2 / 20 + y**2


def slope(x: float, y: float) -> dict[str, float]:
    return {"x": x / 10, "y": 2 * y}


def walk(optimizer: Optimizer, steps: int) -> Any:
    """Give the points (steps + 1, 2) on the way from (-7, 2)."""
    position = {"x": -7.0, "y": 2.0}
    points = [tuple(position.values())]
    for _ in range(steps):
        optimizer.update(position, slope(**position))
        points.append(tuple(position.values()))
    return np.array(points)


def main(picture: str | Path = "ch06_optimizers_on_a_valley.png", *, steps: int = 30) -> None:
    """Print where each optimizer ends, and draw its way."""
    optimizers = [SGD(lr=0.95), Momentum(lr=0.1), AdaGrad(lr=1.5), Adam(lr=0.3)]
    x, y = np.meshgrid(np.linspace(-10, 10, 201), np.linspace(-5, 5, 101))
    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, optimizer in zip(figure.subplots(2, 2).flat, optimizers, strict=True):
        points = walk(optimizer, steps)
        axes.contour(x, y, valley(x, y), levels=np.arange(0.5, 7), colors="lightgrey")
        axes.plot(*points.T, "o-", markersize=3, color="C3")
        axes.plot(0, 0, "+", color="black")
        axes.set(title=repr(optimizer), xlim=(-10, 10), ylim=(-5, 5), xlabel="x", ylabel="y")
        print(f"{optimizer!r}: after {steps} steps at {points[-1].round(3)}")
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
