"""The losses: of one class among several, of several labels at a time, of numbers, of counts."""

from __future__ import annotations

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.checks import dtype_name
from fastnn.nn.loss import Loss
from fastnn.nn.targets import Targets, check_labels, check_numbers


class SoftmaxWithLoss(Loss):
    """Softmax and the mean cross-entropy to the labels, as the last layer: ``-log softmax(x)[t]``.

    Labels are indices of classes (N,), or one-hot (N, C). A good answer is a largest score at the
    label, and accuracy the fraction of samples that have one.

    Attributes
    ----------
    loss : array () or None
        The last mean loss, on the layer's backend.
    y : array (N, C) or None
        The last probabilities.
    t : array (N,), int64, or None
        The last labels, as indices of classes, however they were given.
    """

    primitive = "softmax_cross_entropy"
    measure = "accuracy"

    def losses(self, x: Array, t: Array) -> tuple[Array, Array]:
        """See `Loss.losses`."""
        return self.backend.softmax_cross_entropy(x, t)

    def _gradient(self, y: Array, t: Array) -> Array:
        return self.backend.softmax_cross_entropy_backward(y, t)

    def _checked(
        self, t: object, shape: tuple[int, int], backend: Backend, dtype: str, name: str
    ) -> Targets:
        return check_labels(t, *shape, backend, name=name)

    def probabilities(self, scores: Array) -> Array:
        """See `Loss.probabilities`: softmax, of each class; a row adds up to 1."""
        return self.backend.softmax(scores)

    def classes(self, scores: Array) -> Array:
        """See `Loss.classes`: (N,), where the largest score is, the first one if there are two."""
        return self.backend.astype(self.backend.xp.argmax(scores, axis=1), "int64")

    def tally(self, scores: Array, t: Array) -> Array:
        """See `Loss.tally`: how many are right."""
        return self.backend.count_correct(scores, t)


class SigmoidWithLoss(Loss):
    """Sigmoid and cross-entropy to each output's label, as the last layer.

    ``sum(-t log(y) - (1 - t) log(1 - y))`` over the outputs, ``y = sigmoid(x)``, and its mean over
    the samples. Labels are 0 and 1, or probabilities between, (N, C); with one output also (N,). A
    good answer is positive where the label is above 1/2 and else not, for each output, and accuracy
    the fraction of samples of which every output is good.

    Attributes
    ----------
    loss : array () or None
        The last mean loss, on the layer's backend.
    y : array (N, C) or None
        The last probabilities.
    t : array (N, C) or None
        The last labels.

    Notes
    -----
    PyTorch's ``BCEWithLogitsLoss`` and Keras's ``BinaryCrossentropy`` take the mean over the
    outputs too, where this is the sum, as the cross-entropy of softmax is: with C outputs, their
    loss and gradients are 1 / C of these.
    """

    primitive = "sigmoid_cross_entropy"
    measure = "accuracy"

    def losses(self, x: Array, t: Array) -> tuple[Array, Array]:
        """See `Loss.losses`."""
        return self.backend.sigmoid_cross_entropy(x, self.backend.astype(t, dtype_name(x)))

    def _gradient(self, y: Array, t: Array) -> Array:
        return self.backend.sigmoid_cross_entropy_backward(y, self.backend.astype(t, dtype_name(y)))

    def _checked(
        self, t: object, shape: tuple[int, int], backend: Backend, dtype: str, name: str
    ) -> Targets:
        needs = f"{type(self).__name__} needs targets from 0 to 1"
        return check_numbers(t, shape, backend, dtype, needs=needs, between=(0, 1), name=name)

    def probabilities(self, scores: Array) -> Array:
        """See `Loss.probabilities`: sigmoid, that the label of each output is 1."""
        return self.backend.sigmoid(scores)

    def classes(self, scores: Array) -> Array:
        """See `Loss.classes`: 1 where a score is positive, else 0; (N,) of one output."""
        answers = self.backend.astype(scores > 0, "int64")
        return answers[:, 0] if answers.shape[1] == 1 else answers

    def tally(self, scores: Array, t: Array) -> Array:
        """See `Loss.tally`: how many are right."""
        return self.backend.count_exact(scores, t)


class MeanSquaredError(Loss):
    """Half the squared error, as the last layer of a network that gives numbers.

    ``sum((x - t)**2) / 2`` over the outputs, and its mean over the samples: the book's
    ``sum_squared_error`` of chapter 4, with its 1/2, for a batch. Targets are numbers (N, C); with
    one output also (N,). There is no accuracy: `Sequential.score` gives R2, the coefficient of
    determination, ``1 - sum((x - t)**2) / sum((t - mean(t))**2)``, and its mean over the outputs.

    Attributes
    ----------
    loss : array () or None
        The last mean loss, on the layer's backend.
    y : array (N, C) or None
        The last outputs, which are the answers.
    t : array (N, C) or None
        The last targets.

    Notes
    -----
    PyTorch's ``MSELoss`` and Keras's ``MeanSquaredError`` have no 1/2, and take the mean over the
    outputs too: with C outputs, their loss and gradients are 2 / C times these.
    """

    primitive = "squared_error"
    measure = "R2"

    def losses(self, x: Array, t: Array) -> tuple[Array, Array]:
        """See `Loss.losses`."""
        return self.backend.squared_error(x, self.backend.astype(t, dtype_name(x))), x

    def _gradient(self, y: Array, t: Array) -> Array:
        return self.backend.squared_error_backward(y, self.backend.astype(t, dtype_name(y)))

    def _checked(
        self, t: object, shape: tuple[int, int], backend: Backend, dtype: str, name: str
    ) -> Targets:
        needs = f"{type(self).__name__} needs finite targets"
        return check_numbers(t, shape, backend, dtype, needs=needs, name=name)

    def probabilities(self, scores: Array) -> Array:
        """See `Loss.probabilities`: there are none."""
        raise TypeError(_no(self, "probabilities", "predict_proba"))

    def classes(self, scores: Array) -> Array:
        """See `Loss.classes`: there are none."""
        raise TypeError(_no(self, "classes", "predict_classes"))

    def tally(self, scores: Array, t: Array) -> Array:
        """See `Loss.tally`: the sum of squares (C,) of what is left, in float64."""
        left = self.backend.astype(scores, "float64") - self.backend.astype(t, "float64")
        return self.backend.xp.sum(left * left, axis=0)

    def score(self, tally: Array, t: Array) -> float:
        """See `Loss.score`: R2. Of targets that are all equal it is 1 if all are met, else 0."""
        backend, xp = self.backend, self.backend.xp
        t = backend.astype(t, "float64")
        t = t - t[:1, :]  # so that equal targets have no spread, not even by rounding
        spread = t - xp.mean(t, axis=0)
        squares = backend.to_numpy(xp.sum(spread * spread, axis=0))
        left, equal = backend.to_numpy(tally), squares == 0
        ratio = np.where(equal, np.sign(left), left / np.where(equal, 1, squares))
        return float(np.mean(1 - ratio))


class PoissonWithLoss(Loss):
    """Exponential and half the Poisson deviance, as the last layer of a network that gives counts.

    ``sum(t log(t / y) - t + y)`` over the outputs, ``y = exp(x)``, and its mean over the samples.
    Scores are logarithms of means; targets are numbers from 0 on, (N, C), with one output also
    (N,). Nothing is right or wrong, so there is no accuracy, and no score but the loss.

    Attributes
    ----------
    loss : array () or None
        The last mean loss, on the layer's backend.
    y : array (N, C) or None
        The last answers, which are means.
    t : array (N, C) or None
        The last targets.

    Notes
    -----
    It is the ``loss="poisson"`` of scikit-learn's ``MLPRegressor``. PyTorch's ``PoissonNLLLoss``
    leaves out what does not depend on `x`, ``t log(t) - t``, and takes the mean over the outputs
    too.
    """

    primitive = "poisson_deviance"

    def losses(self, x: Array, t: Array) -> tuple[Array, Array]:
        """See `Loss.losses`."""
        return self.backend.poisson_deviance(x, self.backend.astype(t, dtype_name(x)))

    def _gradient(self, y: Array, t: Array) -> Array:
        return self.backend.poisson_deviance_backward(y, self.backend.astype(t, dtype_name(y)))

    def _checked(
        self, t: object, shape: tuple[int, int], backend: Backend, dtype: str, name: str
    ) -> Targets:
        needs = f"{type(self).__name__} needs finite targets from 0 on"
        between = 0, float(np.finfo(dtype).max)
        return check_numbers(t, shape, backend, dtype, needs=needs, between=between, name=name)

    def probabilities(self, scores: Array) -> Array:
        """See `Loss.probabilities`: there are none."""
        raise TypeError(f"{_no(self, 'probabilities', 'predict_proba')}, logarithms of means")

    def classes(self, scores: Array) -> Array:
        """See `Loss.classes`: there are none."""
        raise TypeError(f"{_no(self, 'classes', 'predict_classes')}, logarithms of means")


def _no(loss: Loss, what: str, method: str) -> str:
    return (
        f"a network with {type(loss).__name__} gives numbers, and no {what}: there is no {method}; "
        "network.predict(x) gives the numbers"
    )


LOSSES = (SoftmaxWithLoss, SigmoidWithLoss, MeanSquaredError, PoissonWithLoss)
