"""Chapter 4.4: walk down a bowl by the numerical gradient.

Run it as ``python ch04_gradient_descent.py [picture]``.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from fastnn import numerical_gradient


def bowl(x: Any) -> float:
    """``x0**2 + x1**2``, whose lowest point is (0, 0)."""
    return float(x[0] ** 2 + x[1] ** 2)


def descend(start: Any, lr: float, steps: int) -> Any:
    """Give the points (steps + 1, 2) on the way down."""
    x, points = start.copy(), [start.copy()]
    for _ in range(steps):
        x -= lr * numerical_gradient(bowl, x)
        points.append(x.copy())
    return np.stack(points)


def main(picture: str | Path = "ch04_gradient_descent.png", *, steps: int = 20) -> None:
    """Print where the walk ends for three learning rates, and draw the ways."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    for radius in range(1, 6):
        axes.add_patch(Circle((0, 0), radius, fill=False, linestyle="--", color="lightgrey"))
    for lr in (0.01, 0.1, 0.95):
        points = descend(np.array([-3.0, 4.0]), lr, steps)
        axes.plot(*points.T, marker=".", label=f"lr={lr}")
        print(f"lr={lr}: after {steps} steps at {points[-1].round(6)}, f = {bowl(points[-1]):.2g}")
    axes.set(xlabel="x0", ylabel="x1", xlim=(-5, 5), ylim=(-5, 5), aspect="equal")
    axes.legend()
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
