"""Dropout, whose random numbers are the same on every engine."""

from __future__ import annotations

from fastnn.backends.arrays import Array
from fastnn.checks import check_fraction, check_seed, common_dtype
from fastnn.nn.layer import Layer, check_shape, kept_by_forward

KEYS = 2**63
"""So many keys a seed may give."""


class Dropout(Layer):
    """Drop units at random in training: ``x * mask``; in evaluation ``x * (1 - ratio)``.

    The mask is a function of `key`, of `draws`, and of the place of each sample in the batch and
    unit in the sample: the same on every backend, for any number of threads. Each `forward` in
    training takes the next draw.

    Parameters
    ----------
    ratio : float, optional
        The share of units that is dropped, from 0 to below 1.
    seed : int, optional
        Seed of the masks; by default another one each time. Two layers of one seed drop the same
        units. `fit` has its own seed, which gives every layer its key and begins at draw 0.

    Attributes
    ----------
    ratio : float
    mask : array of bool or None
        Which units the last `forward` in training kept; of the shape of its input.
    key : int
        What the seed gave.
    draws : int or array () of int64
        How many masks were drawn, which is the number of the next one. It may be set. Key and draws
        are state: saved, moved and copied with the network.
    held : bool
        While true the next mask is drawn again and again: a loss is a function of the parameters
        then, and can be differentiated numerically. `Sequential.numerical_gradient` and
        `check_gradients` do so themselves.

    Raises
    ------
    TypeError
        If `ratio` is no real number.
    ValueError
        If it is not in [0, 1), or the seed is none.

    Notes
    -----
    These are the book's formulas. PyTorch and Keras have *inverted* dropout, ``x * mask / (1 -
    ratio)`` in training and ``x`` in evaluation: all that comes behind is as much larger there.

    References
    ----------
    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html; Saito, *Deep Learning
    from Scratch*, O'Reilly Japan 2016, chapter 6.4.3. Of the random numbers:
    `fastnn.backends.philox`.
    """

    parameters = ()
    state = ("key", "draws")
    options = ("ratio",)

    def __init__(self, ratio: float = 0.5, *, seed: int | None = None) -> None:
        super().__init__()
        self.ratio = check_fraction(ratio, "ratio")
        self.key = int(check_seed(seed).integers(KEYS))
        self.draws: int | Array = 0
        self.held = False
        self.forget()

    def _described(self) -> list[str]:
        return [f"{self.ratio:g}"]

    def forget(self) -> None:
        """See `Layer.forget`."""
        self.mask: Array = None
        self._evaluated: tuple[int, ...] | None = None

    def forward(self, x: Array, train_flg: bool = True, *, for_backward: bool = True) -> Array:
        """Drop units of a batch, or scale it.

        Parameters
        ----------
        x : array (N, ...)
            A batch on the layer's backend, of any real dtype.
        train_flg : bool, optional
            Whether to draw a mask, or multiply by the share that one keeps.
        for_backward : bool, optional
            False where no `backward` follows: nothing is kept for it.

        Returns
        -------
        array
            Of the shape of `x`; float32 for float32 and float16, else float64.

        Raises
        ------
        TypeError
            If `x` is on another device, or holds no real numbers.
        ValueError
            If it has no batch axis.
        """
        self._check(x, "x")
        if x.ndim == 0:
            raise ValueError("Dropout: x has shape (): expected (N, ...)")
        x = self.backend.astype(x, common_dtype([x]))
        if not train_flg:
            if for_backward:
                self.mask, self._evaluated = None, tuple(x.shape)
            return x * (1.0 - self.ratio)
        y, mask = self.backend.dropout(x, self.draws, ratio=self.ratio, key=self.key)
        if not self.held:
            self.draws = self.draws + 1  # a new array, if it is one: somebody may hold the old one
        if for_backward:
            self.mask, self._evaluated = mask, None
        return y

    def backward(self, dout: Array) -> Array:
        """Give `dout` where the units were kept, and 0 elsewhere; in evaluation all is scaled.

        Raises
        ------
        RuntimeError
            If `forward` was not called before.
        TypeError
            If `dout` is on another device, or holds no real numbers.
        ValueError
            If it has another shape than the output.
        """
        self._check(dout, "dout")
        dout = self.backend.astype(dout, common_dtype([dout]))
        if self._evaluated is not None:
            check_shape(dout, self._evaluated, "Dropout")
            return dout * (1.0 - self.ratio)
        check_shape(dout, tuple(kept_by_forward(self.mask, "Dropout").shape), "Dropout")
        return self.backend.dropout_backward(dout, self.mask)
