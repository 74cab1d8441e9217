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
    rates = 0.01, 0.1, 0.95
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    for axes, lr in zip(figure.subplots(1, len(rates), sharey=True), rates, strict=True):
        for radius in range(1, 6):
            axes.add_patch(Circle((0, 0), radius, fill=False, linestyle="--", color="lightgrey"))
        points = descend(np.array([-3.0, 4.0]), lr, steps)
        axes.plot(*points.T, "o-", markersize=4)
        axes.plot(0, 0, "+", color="black")
        axes.set(title=f"lr={lr}", xlabel="x0", xlim=(-5.2, 5.2), ylim=(-5.2, 5.2), aspect="equal")
        print(f"lr={lr}: after {steps} steps at {points[-1].round(6)}, f = {bowl(points[-1]):.2g}")
    figure.axes[0].set_ylabel("x1")
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
