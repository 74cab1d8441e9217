"""What a network answers to samples of which the classes are known, counted and sorted."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastnn.nn.losses import SoftmaxWithLoss
from fastnn.nn.sequential import Sequential
from fastnn.nn.targets import check_labels

Array = np.ndarray[Any, Any]


class Answers(NamedTuple):
    """The answers to N samples of C classes, on the host.

    Attributes
    ----------
    probabilities : numpy.ndarray (N, C)
    labels, classes : numpy.ndarray (N,) of int64
        What each sample is, and what the network says.
    """

    probabilities: Array
    labels: Array
    classes: Array

    @property
    def accuracy(self) -> float:
        """The fraction that is right."""
        return float(np.mean(self.labels == self.classes))

    def confusion(self) -> Array:
        """Count (C, C): of the samples of a row's class those that the column's is said of."""
        size = self.probabilities.shape[1]
        pairs = self.labels * size + self.classes
        return np.bincount(pairs, minlength=size * size).reshape(size, size)

    def most_wrong(self, count: int) -> Array:
        """Give the indices of the wrong answers, those first that give their label the least."""
        wrong = np.flatnonzero(self.labels != self.classes)
        right_one = self.probabilities[wrong, self.labels[wrong]]
        return wrong[np.argsort(right_one, kind="stable")[:count]]


def answers_to(network: Sequential, x: object, t: object) -> Answers:
    """Ask a network.

    Parameters
    ----------
    network : Sequential
        With `SoftmaxWithLoss`, on any backend.
    x, t : array_like
        Samples and labels, as for `Sequential.accuracy`; they are evaluated in chunks.

    Raises
    ------
    TypeError
        If the network answers by something else than classes.
    ValueError
        See `Sequential.loss`.
    """
    if not isinstance(network.last_layer, SoftmaxWithLoss):
        raise TypeError(
            f"a report is about classes, and the network has {type(network.last_layer).__name__}: "
            "it needs SoftmaxWithLoss"
        )
    probabilities = network.backend.to_numpy(network.predict_proba(x))
    if not np.isfinite(probabilities).all():
        wrong = probabilities[~np.isfinite(probabilities)][0]
        raise ValueError(
            f"the network gives no probabilities but {wrong}: the training that made it has "
            "diverged; train again, with a smaller learning rate"
        )
    samples, classes = probabilities.shape
    checked = check_labels(t, samples, classes, network.backend, name="t")
    labels = network.backend.to_numpy(checked.array)
    return Answers(probabilities, labels, network.backend.to_numpy(network.predict_classes(x)))
