"""What a loss is: the last layer, which knows what it is to be compared with.

A network asks its loss how targets are checked, and what a good answer is. So classes, several
labels at a time and numbers go through the same `Sequential` and the same `fit`.
"""

from __future__ import annotations

from typing import ClassVar

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.checks import common_dtype, dtype_name
from fastnn.nn.layer import Layer, kept_by_forward
from fastnn.nn.targets import Targets
from fastnn.nn.validation import check_owned


class Loss(Layer):
    """What fastnn's losses have in common.

    A sample's loss is a sum over its outputs, the loss of a batch the mean over its samples.

    Attributes
    ----------
    primitive : str
        The method of a `Backend` that gives the loss of each sample.
    measure : {"accuracy", "R2"} or None
        What `Sequential.score` gives of a network with this loss; None if nothing but the loss
        tells how good answers are.
    loss : array () or None
        The last mean loss, on the layer's backend.
    y : array (N, C) or None
        The last answers: what the scores mean.
    t : array or None
        The last targets, as `check_targets` gives them.
    w : array (N,) or None
        The last weights of samples, if they had any.
    """

    parameters = ()
    primitive: ClassVar[str]
    measure: ClassVar[str | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """See `Layer.forget`."""
        self.loss: Array = None
        self.y: Array = None
        self.t: Array = None
        self.w: Array = None

    def forward(  # type: ignore[override]  # a loss is given targets as well
        self, x: Array, t: Array | Targets, w: Array = None
    ) -> Array:
        """Give the mean over the batch of the samples' losses.

        Parameters
        ----------
        x : array (N, C)
            Scores on the layer's backend, of any finite size.
        t : array
            Targets on the layer's backend; see the class.
        w : array (N,) of float64, optional
            Weights of the samples on the layer's backend, not negative: the mean is ``sum(w *
            losses) / sum(w)`` then.

        Returns
        -------
        array ()
            The loss, on the backend; finite for finite scores.

        Raises
        ------
        TypeError
            If an array is on another device, or holds no real numbers.
        ValueError
            If shapes do not fit, or a target is none; see `check_targets`.
        """
        name = type(self).__name__
        self._check(x, "x")
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"{name}: x has shape {tuple(x.shape)}: expected (N, C)")
        if not isinstance(t, Targets):
            check_owned(t, self.backend, "t", name)
        x = self.backend.astype(x, common_dtype([x]))
        samples, outputs = x.shape
        self.t = self.check_targets(t, samples, (outputs,), self.backend, dtype_name(x)).array
        losses, self.y = self.losses(x, self.t)
        self.w = w
        if w is not None:
            losses = self.backend.weighted(losses, w)
        self.loss = self.backend.mean(losses)
        return self.loss

    def backward(self, dout: float = 1) -> Array:
        """Give the gradient (N, C) of the mean loss by the scores, times `dout`.

        Raises
        ------
        RuntimeError
            If `forward` was not called before.
        """
        dx = self._gradient(kept_by_forward(self.y, type(self).__name__), self.t)
        if self.w is not None:
            dx = self.backend.weighted(dx, self.w)
        return dx if isinstance(dout, int | float) and dout == 1 else dx * dout

    def losses(self, x: Array, t: Array) -> tuple[Array, Array]:
        """Give the loss (N,) of each sample, and the answers (N, C); of checked arrays."""
        raise NotImplementedError

    def _gradient(self, y: Array, t: Array) -> Array:
        """Give the gradient of the mean loss by the scores, from answers and targets."""
        raise NotImplementedError

    def check_targets(
        self,
        t: object,
        samples: int,
        outputs: tuple[int, ...],
        backend: Backend,
        dtype: str,
        *,
        name: str = "t",
    ) -> Targets:
        """Check what a user gave as targets of so many samples, and bring them to a device.

        Parameters
        ----------
        t : array_like or Targets
            Targets that were checked before are given back as they are.
        samples : int
            How many there have to be.
        outputs : tuple of int
            The shape of the scores of a sample.
        backend, dtype : Backend, str
            Where they are to be; and in which dtype, if they are numbers.
        name : str, optional
            What errors call them.

        Returns
        -------
        Targets
            Of an array of its own.

        Raises
        ------
        TypeError
            If they are no real numbers.
        ValueError
            If shapes do not fit, or a target is none.
        """
        if len(outputs) != 1:
            shape = ", ".join(["N", *map(str, outputs)])
            raise ValueError(f"{type(self).__name__}: x has shape ({shape}): expected (N, C)")
        return self._checked(t, (samples, outputs[0]), backend, dtype, name)

    def _checked(
        self, t: object, shape: tuple[int, int], backend: Backend, dtype: str, name: str
    ) -> Targets:
        """Check targets of N samples and C outputs."""
        raise NotImplementedError

    def probabilities(self, scores: Array) -> Array:
        """Give the probabilities that scores (N, C) mean, of the same shape.

        Raises
        ------
        TypeError
            If they mean none; a loss of your own that has some says so by this method.
        """
        raise TypeError(
            f"{type(self).__name__} does not say which probabilities its scores mean: there is no "
            "predict_proba; network.predict(x) gives the scores"
        )

    def classes(self, scores: Array) -> Array:
        """Give the answers, as integers, that scores (N, C) mean.

        Raises
        ------
        TypeError
            If they mean no classes.
        """
        raise TypeError(
            f"{type(self).__name__} does not say which classes its scores mean: there is no "
            "predict_classes; network.predict(x) gives the scores"
        )

    def tally(self, scores: Array, t: Array) -> Array:
        """Give what tells how good scores (N, C) are; tallies of batches add up.

        Raises
        ------
        TypeError
            If nothing does; a loss of your own says it by this method and `score`.
        """
        raise TypeError(
            f"{type(self).__name__} does not say which answers are good: there is no accuracy and "
            "no score; network.loss(x, t) gives the loss of them"
        )

    def score(self, tally: Array, t: Array) -> float:
        """Give the `measure` from the tally of all samples and their targets."""
        return int(tally) / int(t.shape[0])
