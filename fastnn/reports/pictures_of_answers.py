"""Which classes a network takes for which, and the samples that it is most wrong about."""

from __future__ import annotations

import numpy as np

from fastnn.picture import Picture
from fastnn.reports.answers import Answers, Array

MOST_NUMBERS = 20
"""Classes up to which counts are written into the matrix."""


def draw_confusion(confusion: Array) -> Picture:
    """Draw counts (C, C), shaded by the root of their share of the row, so that few show, too."""
    classes = len(confusion)
    shade = np.sqrt(confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1))
    size = min(10.0, max(4.0, 0.6 * classes + 1))
    figure = Picture(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shade, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="the network says", ylabel="it is")
    if classes <= MOST_NUMBERS:
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
        for (row, column), number in np.ndenumerate(confusion):
            colour = "white" if shade[row, column] > 0.6 else "black" if number else "lightgrey"
            axes.text(column, row, str(number), ha="center", va="center", color=colour, fontsize=8)
    return figure


def draw_samples(images: Array, answers: Answers, indices: Array) -> Picture:
    """Draw the samples of these indices, with what they are and what the network says.

    Parameters
    ----------
    images : numpy.ndarray (N, rows, columns)
    answers : Answers
        To these N.
    indices : numpy.ndarray (K,) of int
        At least one.
    """
    columns = min(8, len(indices))
    lines = -(-len(indices) // columns)
    figure = Picture(figsize=(1.25 * columns, 1.55 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, index in zip(grid.flat, indices, strict=False):
        label, said = answers.labels[index], answers.classes[index]
        axes.imshow(images[index], cmap="gray_r", interpolation="nearest")
        axes.set_title(
            f"{label}, not {said}\n{answers.probabilities[index, said]:.0%} sure", fontsize=8
        )
    return figure
