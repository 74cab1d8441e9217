"""Batch normalisation: by the batch in training, by running averages in evaluation."""

from __future__ import annotations

import math

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.checks import DTYPES, check_fraction, common_dtype, dtype_name
from fastnn.nn.handed_over import take
from fastnn.nn.layer import Layer, check_shape, kept_by_forward
from fastnn.nn.validation import real_array


class BatchNormalization(Layer):
    """Normalise each unit over the batch, then scale and shift: ``gamma * xn + beta``.

    In training ``xn = (x - mean) / sqrt(var + 1e-6)``, with the mean and the variance over the
    samples of the batch, and the running averages follow these: ``running = momentum * running +
    (1 - momentum) * of_batch``. In evaluation `running_mean` and `running_var` stand in their
    places, so that what a sample gives does not depend on the others.

    Parameters
    ----------
    gamma, beta : array_like (D,)
        Scale and shift of the D units, the parameters. Arrays are used as they are wherever that is
        possible, as those of `Affine`; the layer computes in float32 if both are, else in float64.
    momentum : float, optional
        How much of the running averages each batch in training leaves; from 0 to below 1.
    running_mean, running_var : array_like (D,), optional
        The averages to begin with, by default the book's zeros. Copies are taken.

    Attributes
    ----------
    gamma, beta : array (D,)
        On the layer's backend.
    running_mean, running_var : array (D,)
        The running averages, of the network's dtype. Each batch in training gives new arrays. They
        are state and no parameters: saved, moved and copied with the network, and not trained.
    momentum : float
    dgamma, dbeta : array (D,) or None
        The gradients of the last `backward`, each of the dtype of its parameter.

    Raises
    ------
    TypeError
        If an array holds no real numbers, or `momentum` is no real number.
    ValueError
        If shapes do not fit, `momentum` is not in [0, 1), or a running variance is negative.

    Notes
    -----
    PyTorch and Keras let the running variance begin at 1 and add 1e-5 and 1e-3 to a variance.
    PyTorch calls ``1 - momentum`` what is `momentum` here, and its running variance follows ``N /
    (N - 1)`` times the batch's. What is here are the book's formulas.

    References
    ----------
    Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167; Saito, *Deep Learning from Scratch*,
    O'Reilly Japan 2016, chapter 6.3.
    """

    parameters = ("gamma", "beta")
    state = ("running_mean", "running_var")
    options = ("momentum",)
    least_batch = 2

    def __init__(
        self,
        gamma: object,
        beta: object,
        momentum: float = 0.9,
        running_mean: object = None,
        running_var: object = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        scale = real_array(gamma, self.backend, "gamma")
        shift = real_array(beta, self.backend, "beta")
        shapes = tuple(scale.shape), tuple(shift.shape)
        if scale.ndim != 1 or shapes[0] != shapes[1] or 0 in shapes[0]:
            raise ValueError(
                f"gamma has shape {shapes[0]} and beta {shapes[1]}: expected (D,) and (D,), D at "
                "least 1"
            )
        self.momentum = check_fraction(momentum, "momentum")
        averages = [
            self._average(array, what, shapes[0])
            for array, what in ((running_mean, "running_mean"), (running_var, "running_var"))
        ]
        self.gamma: Array = take(gamma, scale, self.backend, "gamma", name)
        self.beta: Array = take(beta, shift, self.backend, "beta", name)
        dtype = common_dtype([self.gamma, self.beta])
        self.running_mean, self.running_var = (self.backend.astype(a, dtype) for a in averages)
        self.forget()

    def _average(self, array: object, name: str, shape: tuple[int, ...]) -> Array:
        """Give a copy of a running average to begin with; zeros if there is none."""
        xp = self.backend.xp
        if array is None:
            return xp.zeros(shape, dtype=xp.float64, device=self.backend.device)
        found = real_array(array, self.backend, name)
        if tuple(found.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(found.shape)} and gamma {shape}")
        self.check_state(name, found, name)
        return self.backend.copy(self.backend.asarray(found, "float64"))

    def check_state(self, attribute: str, array: Array, name: str) -> None:
        """See `Layer.check_state`: a variance is not negative; NaN is what divergence leaves."""
        if attribute != "running_var":
            return
        host = host_array(array)
        negative = np.flatnonzero(host < 0)
        if negative.size:
            first = int(negative[0])
            raise ValueError(f"{name}[{first}] is {host[first]}: a variance is not negative")

    def _described(self) -> list[str]:
        dtypes = dict.fromkeys(map(dtype_name, (self.gamma, self.beta)))
        return [f"{self.gamma.shape[0]}", " and ".join(dtypes)]

    def forget(self) -> None:
        """See `Layer.forget`."""
        self.xn: Array = None
        self.std: Array = None
        self.dgamma: Array = None
        self.dbeta: Array = None
        self._evaluated: tuple[Array, Array, Array] | None = None
        self._input_shape: tuple[int, ...] = ()

    def forward(self, x: Array, train_flg: bool = True, *, for_backward: bool = True) -> Array:
        """Normalise a batch.

        Parameters
        ----------
        x : array (N, ...)
            A batch on the layer's backend; more than two dimensions are flattened to (N, D).
            Any real dtype; it is cast to that in which the layer computes.
        train_flg : bool, optional
            Whether to normalise by the batch, which the running averages follow then, or by these.
        for_backward : bool, optional
            False where no `backward` follows: nothing is kept for it.

        Returns
        -------
        array
            Of the shape of `x`.

        Raises
        ------
        TypeError
            If `x` is on another device, or holds no real numbers.
        ValueError
            If it has no batch axis, or a number of units other than D; or in training a single
            sample, which has no variance.
        """
        self._check(x, "x")
        units = self.gamma.shape[0]
        if x.ndim < 2 or 0 in x.shape or math.prod(x.shape[1:]) != units:
            raise ValueError(
                f"BatchNormalization: x has shape {tuple(x.shape)} and gamma ({units},): "
                f"expected x of shape (N, {units}), N at least 1"
            )
        if train_flg and x.shape[0] < self.least_batch:
            raise ValueError(
                "BatchNormalization: a batch of 1 sample has a variance of 0, and all that is left "
                "of it is beta: in training take 2 samples or more; train_flg=False evaluates one"
            )
        backend, shape = self.backend, tuple(x.shape)
        gamma, beta, dtype = self._operands()
        x = backend.astype(x if x.ndim == 2 else backend.xp.reshape(x, (x.shape[0], -1)), dtype)
        averages = tuple(backend.astype(a, dtype) for a in (self.running_mean, self.running_var))
        if for_backward:
            self._input_shape = shape
        if not train_flg:
            y = backend.batch_norm_evaluation(x, gamma, beta, *averages)
            if for_backward:
                self.xn = self.std = None
                self._evaluated = (x, *averages)
        else:
            y, xn, std, *of_batch = backend.batch_norm(x, gamma, beta)
            self.running_mean, self.running_var = (
                backend.moving_average(backend.copy(average), value, momentum=self.momentum)
                for average, value in zip(averages, of_batch, strict=True)
            )
            if for_backward:
                self.xn, self.std, self._evaluated = xn, std, None
        return y if len(shape) == 2 else backend.xp.reshape(y, shape)

    def _operands(self) -> tuple[Array, Array, str]:
        """Give gamma and beta in one dtype, and its name; see `Affine`."""
        gamma, beta = self.gamma, self.beta
        dtype = dtype_name(gamma)
        if gamma.dtype == beta.dtype and dtype in DTYPES:
            return gamma, beta, dtype
        dtype = common_dtype([gamma, beta])
        return self.backend.astype(gamma, dtype), self.backend.astype(beta, dtype), dtype

    def backward(self, dout: Array) -> Array:
        """Give ``dx``, of the shape of x, and keep ``dgamma`` and ``dbeta``.

        They are the derivatives of what `forward` last computed: in training the batch's mean and
        variance follow x, in evaluation the averages do not.

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
        if self._evaluated is None:
            kept_by_forward(self.xn, "BatchNormalization")
        check_shape(dout, self._input_shape, "BatchNormalization")
        backend = self.backend
        gamma, _, dtype = self._operands()
        flat = backend.astype(backend.xp.reshape(dout, (dout.shape[0], -1)), dtype)
        if self._evaluated is None:
            dx, dgamma, dbeta = backend.batch_norm_backward(flat, gamma, self.xn, self.std)
        else:
            dx, dgamma, dbeta = self._backward_of_evaluation(flat, gamma, *self._evaluated)
        self.dgamma = backend.astype(dgamma, common_dtype([self.gamma]))
        self.dbeta = backend.astype(dbeta, common_dtype([self.beta]))
        return dx if len(self._input_shape) == 2 else backend.xp.reshape(dx, self._input_shape)

    def _backward_of_evaluation(
        self, dout: Array, gamma: Array, x: Array, mean: Array, var: Array
    ) -> tuple[Array, Array, Array]:
        """Gradients in evaluation: ``gamma * xn + beta``, with an `xn` that is linear in x."""
        backend, xp = self.backend, self.backend.xp
        zeros, ones = xp.zeros_like(gamma), xp.ones_like(gamma)
        dx = backend.batch_norm_evaluation(dout, gamma, zeros, zeros, var)
        xn = backend.batch_norm_evaluation(x, ones, zeros, mean, var)
        return dx, xp.sum(dout * xn, axis=0), xp.sum(dout, axis=0)
