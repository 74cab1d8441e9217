"""The loss as the last layer."""

from __future__ import annotations

from fastnn.backends.arrays import Array
from fastnn.checks import common_dtype
from fastnn.nn.layer import Layer, kept_by_forward
from fastnn.nn.validation import Labels, check_labels, check_owned


class SoftmaxWithLoss(Layer):
    """Softmax and the mean cross-entropy to the labels, as the last layer.

    Attributes
    ----------
    loss : array () or None
        The last mean loss, on the layer's backend.
    y : array (N, C) or None
        The last probabilities.
    t : array (N,), int64, or None
        The last labels, as indices of classes, however they were given.
    """

    parameters = ()

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """See `Layer.forget`."""
        self.loss: Array = None
        self.y: Array = None
        self.t: Array = None

    def forward(  # type: ignore[override]  # a loss is given labels as well
        self, x: Array, t: Array | Labels
    ) -> Array:
        """Give the mean over the batch of ``-log softmax(x)[t]``.

        Parameters
        ----------
        x : array (N, C)
            Scores on the layer's backend, of any finite size.
        t : array (N,) or (N, C)
            Labels on the layer's backend: indices of classes, or one-hot.

        Returns
        -------
        array ()
            The loss, on the backend; finite for finite scores.

        Raises
        ------
        TypeError
            If an array is on another device, or holds no real numbers.
        ValueError
            If shapes do not fit, or a label is out of range, not integral or not one-hot.
        """
        self._check(x, "x")
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"SoftmaxWithLoss: x has shape {tuple(x.shape)}: expected (N, C)")
        if not isinstance(t, Labels):
            check_owned(t, self.backend, "t", "SoftmaxWithLoss")
        t = check_labels(t, x.shape[0], x.shape[1], self.backend)
        self.t = t.indices
        x = self.backend.astype(x, common_dtype([x]))
        losses, self.y = self.backend.softmax_cross_entropy(x, self.t)
        self.loss = self.backend.mean(losses)
        return self.loss

    def backward(self, dout: float = 1) -> Array:
        """Give ``dout * (y - one_hot(t)) / N``, the gradient (N, C) by the scores.

        Raises
        ------
        RuntimeError
            If `forward` was not called before.
        """
        kept_by_forward(self.y, "SoftmaxWithLoss")
        dx = self.backend.softmax_cross_entropy_backward(self.y, self.t)
        return dx if isinstance(dout, int | float) and dout == 1 else dx * dout
