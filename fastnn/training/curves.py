"""The learning curves of a training run, as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.picture import Picture


def draw_curves(history: Any, *, title: str = "") -> Picture:
    """Draw the loss of each step, and the accuracies of each epoch, or R2, or validation losses.

    Parameters
    ----------
    history : History
        With at least one step.
    title : str, optional
        A line above the picture.

    Returns
    -------
    Picture
        Of no window: it is shown by a notebook, or saved by its ``savefig``.

    Raises
    ------
    ValueError
        If there is no step.
    """
    if not history.losses:
        raise ValueError("the history has no steps to draw: train for an epoch, at least")
    losses = np.asarray(history.losses)
    steps = np.arange(1, len(losses) + 1)
    figure = Picture(figsize=(10, 4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    left, right = figure.subplots(1, 2)
    left.plot(steps, losses, color="C0", alpha=0.3, linewidth=0.5, label="each step")
    window = max(1, len(losses) // 100)
    smooth = np.convolve(losses, np.full(window, 1 / window), mode="valid")
    left.plot(steps[window - 1 :], smooth, color="C0", label=f"mean of {window} steps")
    left.set(xlabel="step", ylabel="loss", yscale="log")
    left.legend()
    measures = []
    for name, label in (("train", "train"), ("validation", "test")):
        for measure, values in history.measured(name).items():
            right.plot(np.arange(1, len(values) + 1), values, marker=".", label=label)
            measures.append(measure)
    if not measures and history.validation_losses:
        values = history.validation_losses
        right.plot(np.arange(1, len(values) + 1), values, marker=".", label="test")
        measures.append("loss")
    right.set(xlabel="epoch", ylabel=" and ".join(dict.fromkeys(measures)))
    right.xaxis.get_major_locator().set_params(integer=True)
    if measures:
        right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure
