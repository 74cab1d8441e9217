"""The specification of a backend: an array namespace, the movement of arrays, the primitives.

Every primitive is written once here, in code of the Python array API standard
(https://data-apis.org/array-api), and says *what* is computed. A backend for a new array library
names its namespace ``xp`` and inherits the rest; an override may only say the same thing faster.
Two names of shapes recur: a batch has ``N`` samples, a layer takes ``D`` features and gives ``M``.

The argument ``out`` is a hint as in NumPy: the result is written there, if given, and returned.
Primitives trust their arguments: shapes, dtypes and labels were checked when a user's call came in.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.feed import Feed
from fastnn.backends.known_parts import Course, Reason
from fastnn.backends.normal_distribution import normal_distribution
from fastnn.backends.philox import least_word, random_words
from fastnn.backends.plan import Chain, Runner, StepPlan
from fastnn.backends.precision import HIGHEST

BATCH_NORM_EPSILON = 1e-6
"""What keeps batch normalisation from dividing by 0: the book's 10e-7."""

CLIP_EPSILON = 1e-6
"""What keeps the clipping of gradients from dividing by 0: PyTorch's."""


EPSILON = 1e-7
"""Added to the roots that update rules divide by."""


@dataclass(frozen=True)
class BackendInfo:
    """What is known of a backend on this machine; see `fastnn.available_backends`.

    Attributes
    ----------
    name : str
        The name that `fastnn.set_backend` takes.
    usable : bool
        Whether it can run here.
    reason : str
        Why it cannot, and what to do; empty if it can.
    version, device : str or None
        Version of the library underneath, and the name of the processor or GPU.
    memory : int or None
        Memory of that device in bytes.
    threads : int or None
        CPU threads that matrix products use; None on a GPU.
    """

    name: str
    usable: bool
    reason: str = ""
    version: str | None = None
    device: str | None = None
    memory: int | None = None
    threads: int | None = None


class Backend:
    """An array engine. Subclasses set `name` and `xp`, and override what they do better."""

    name: ClassVar[str]
    xp: Any
    device: Any = None
    on_host: ClassVar[bool] = False
    """Whether its arrays are NumPy arrays."""
    precisions: ClassVar[tuple[str, ...]] = (HIGHEST,)
    """How products of float32 can be computed; see `fastnn.set_backend`."""
    precision: str = HIGHEST
    steps_at_once: ClassVar[int] = 1
    """Training steps that are worth one call of `Runner.run`."""

    @classmethod
    def unavailable_reason(cls) -> str | None:
        """Say why this backend cannot run here, in words that lead to the fix; None if it can."""
        return None

    @classmethod
    def device_problem(cls, device: int) -> str | None:
        """Say why there is no device of this index, and which there are; None if there is."""
        return "it has no devices to choose from."

    def current(self) -> AbstractContextManager[Any]:
        """Make the backend's device the current one, for the body of a ``with`` statement."""
        return nullcontext()

    def use(self) -> None:
        """Make the backend's device the current one of this thread."""

    def info(self) -> BackendInfo:
        """Describe this usable backend."""
        return BackendInfo(self.name, usable=True)

    def __repr__(self) -> str:
        return f"<fastnn backend {self.name}>"

    def __copy__(self) -> Backend:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self

    # Movement of arrays

    def owns(self, array: object) -> bool:
        """Whether `array` lives where this backend computes."""
        raise NotImplementedError

    def adopt(self, array: object) -> Array | None:
        """Take an array of another library that is on a device already, without the host; or None.

        It shares memory with `array` where that is on this backend's device.
        """
        return None

    def asarray(self, array: object, dtype: str | None = None) -> Array:
        """Bring `array` (of any library, or nested lists) here, as `dtype`; no copy if it is."""
        if self.owns(array):
            return self.astype(array, dtype) if dtype else array
        host = host_array(array)
        host = host.astype(dtype or host.dtype.newbyteorder("="), order="C", copy=False)
        return self.xp.asarray(host, device=self.device)

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """Bring an array of this backend to the host."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until everything that this thread has queued on the device is done."""

    def astype(self, array: Array, dtype: str) -> Array:
        """Cast an array of this backend; no copy if it has `dtype` already."""
        return self.xp.astype(array, getattr(self.xp, dtype), copy=False)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Allocate an array here, its entries undefined."""
        return self.xp.empty(shape, dtype=getattr(self.xp, dtype), device=self.device)

    def copy(self, array: Array) -> Array:
        """Copy an array of this backend."""
        return self.xp.asarray(array, copy=True)

    def share_memory(self, one: Array, other: Array) -> bool:
        """Whether two arrays of this backend have memory in common, as far as can be seen."""
        return one is other

    def holds(self, nbytes: int) -> bool:
        """Say whether a data set of so many bytes has room where this backend computes."""
        return True

    def feed(
        self,
        x: np.ndarray[Any, Any],
        t: np.ndarray[Any, Any],
        dtype: str,
        batch_size: int,
        w: np.ndarray[Any, Any] | None = None,
    ) -> Feed:
        """Make the way from the host for a data set that has no room; see `holds`.

        `w` are weights of the samples, if they have any.
        """
        raise NotImplementedError

    # Primitives

    def affine(
        self, x: Array, W: Array, b: Array, *, relu: bool = False, out: Array | None = None
    ) -> Array:
        """``x @ W + b``, through ReLU on request. x (N, D), W (D, M), b (M,) -> (N, M)."""
        result = x @ W + b
        return _store(self.relu(result) if relu else result, out)

    def affine_backward(
        self,
        dout: Array,
        x: Array,
        W: Array,
        *,
        relu: bool = False,
        input_gradient: bool = True,
        out: tuple[Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array]:
        """Gradients ``dx, dW, db`` of `affine` for ``dout`` (N, M).

        With `relu`, ``x`` is what a ReLU gave and ``dx`` is taken back through that ReLU as well.
        Without `input_gradient`, ``dx`` is not computed, and None.
        """
        dx = None
        if input_gradient:
            dx = dout @ self.xp.matrix_transpose(W)
            if relu:
                dx = self.relu_backward(dx, x <= 0)
        dW = self.xp.matrix_transpose(x) @ dout
        db = self.xp.sum(dout, axis=0)
        if out is None:
            return dx, dW, db
        return (
            _store(dx, out[0]) if input_gradient else None,
            _store(dW, out[1]),
            _store(db, out[2]),
        )

    def relu(self, x: Array, *, out: Array | None = None) -> Array:
        """``max(x, 0)``, for x of any shape; NaN stays NaN."""
        return _store(self.xp.where(x <= 0, self.xp.zeros_like(x), x), out)

    def relu_backward(self, dout: Array, mask: Array, *, out: Array | None = None) -> Array:
        """Gradient of `relu`: 0 where the boolean ``mask`` (``x <= 0``) holds, else ``dout``."""
        return _store(self.xp.where(mask, self.xp.zeros_like(dout), dout), out)

    def sigmoid(self, x: Array, *, out: Array | None = None) -> Array:
        """``1 / (1 + exp(-x))``, for x of any shape.

        With ``e = exp(-|x|)``, which is at most 1, it is ``1 / (1 + e)`` where x is positive, else
        ``e / (1 + e)``: no exponential overflows, and a small result keeps its digits.
        """
        with np.errstate(under="ignore"):
            e = self.xp.exp(-self.xp.abs(x))
            return _store(self.xp.where(x > 0, self.xp.ones_like(e), e) / (1 + e), out)

    def sigmoid_backward(self, dout: Array, y: Array, *, out: Array | None = None) -> Array:
        """Gradient of `sigmoid`, of which y is the output: ``dout * y * (1 - y)``."""
        with np.errstate(under="ignore"):
            return _store(dout * (y * (1 - y)), out)

    def tanh(self, x: Array, *, out: Array | None = None) -> Array:
        """``tanh(x)``, for x of any shape."""
        return _store(self.xp.tanh(x), out)

    def tanh_backward(self, dout: Array, y: Array, *, out: Array | None = None) -> Array:
        """Gradient of `tanh`, of which y is the output: ``dout * (1 - y**2)``.

        As ``(1 - y) * (1 + y)``, which keeps its digits where y is close to 1.
        """
        with np.errstate(under="ignore"):
            return _store(dout * ((1 - y) * (1 + y)), out)

    def leaky_relu(self, x: Array, *, slope: float, out: Array | None = None) -> Array:
        """``x`` where it is positive, else ``slope * x``, for x of any shape; NaN stays NaN."""
        return self.leaky_relu_backward(x, x, slope=slope, out=out)

    def leaky_relu_backward(
        self, dout: Array, y: Array, *, slope: float, out: Array | None = None
    ) -> Array:
        """Gradient of `leaky_relu`, of which y is the output, which has the sign of x.

        ``slope * dout`` where y is not positive, else ``dout``; the slope is not negative.
        """
        one = self.xp.ones_like(dout)
        with np.errstate(under="ignore"):
            return _store(dout * self.xp.where(y <= 0, one * slope, one), out)

    def gelu(self, x: Array, *, out: Array | None = None) -> Array:
        """``x * P(x)``, with the normal distribution ``P(x) = (1 + erf(x / sqrt(2))) / 2``.

        x of any shape; Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415.
        """
        with np.errstate(under="ignore", invalid="ignore"):
            distribution, _ = normal_distribution(self.xp, x)
            return _store(x * distribution, out)

    def gelu_backward(self, dout: Array, x: Array, *, out: Array | None = None) -> Array:
        """Gradient of `gelu`: ``dout * (P(x) + x * p(x))``, with ``p(x) = P'(x)``, the density."""
        with np.errstate(under="ignore", invalid="ignore"):
            distribution, density = normal_distribution(self.xp, x)
            return _store(dout * (distribution + x * density), out)

    def dropout(
        self,
        x: Array,
        step: int | Array,
        *,
        ratio: float,
        key: int,
        out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:
        """``x * mask`` and ``mask = random >= ratio``, for x of any shape (N, ...).

        The random numbers, from 0 to below 1, are those of Philox4x32-10 for draw `step`, an int or
        an array () of int64, under `key`, an int of 64 bits: a function of the place of the
        sample in the batch and of the unit in the sample; see `fastnn.backends.philox`.
        """
        draw = self.xp.asarray(step, dtype=self.xp.uint64, device=self.device)
        words = random_words(self.xp, x.shape[0], math.prod(x.shape[1:]), draw, key)
        mask = self.xp.reshape(words >= least_word(ratio), x.shape)
        y = x * self.xp.astype(mask, x.dtype)
        return (y, mask) if out is None else (_store(y, out[0]), _store(mask, out[1]))

    def count(self, counter: Array) -> Array:
        """``counter += 1`` in place: an array () of int64."""
        counter += 1
        return counter

    def dropout_backward(self, dout: Array, mask: Array, *, out: Array | None = None) -> Array:
        """Gradient of `dropout`: ``dout * mask``."""
        return _store(dout * self.xp.astype(mask, dout.dtype), out)

    def batch_norm(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        *,
        out: tuple[Array, Array, Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Normalise by the batch: ``y = gamma * xn + beta``, and what it is made of.

        x (N, D), gamma and beta (D,) -> y, xn (N, D), std, mean, var (D,): ``mean`` and ``var``
        over the samples, ``std = sqrt(var + 1e-6)``, ``xn = (x - mean) / std``; Ioffe and Szegedy
        2015, https://arxiv.org/abs/1502.03167, and the book's chapter 6.3.
        """
        xp = self.xp
        mean = xp.mean(x, axis=0)
        xc = x - mean
        rest = xp.mean(xc, axis=0)  # not 0, where a large mean is rounded
        mean, xc = mean + rest, xc - rest
        var = xp.mean(xc * xc, axis=0)
        std = xp.sqrt(var + BATCH_NORM_EPSILON)
        xn = xc / std
        y = gamma * xn + beta
        if out is None:
            return y, xn, std, mean, var
        return (
            _store(y, out[0]),
            _store(xn, out[1]),
            _store(std, out[2]),
            _store(mean, out[3]),
            _store(var, out[4]),
        )

    def batch_norm_backward(
        self,
        dout: Array,
        gamma: Array,
        xn: Array,
        std: Array,
        *,
        out: tuple[Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array]:
        """Gradients ``dx, dgamma, dbeta`` of `batch_norm` for ``dout`` (N, D).

        ``dx = gamma / std * (dout - mean(dout) - xn * mean(dout * xn))``: mean and std follow x.
        """
        xp = self.xp
        dgamma, dbeta = xp.sum(dout * xn, axis=0), xp.sum(dout, axis=0)
        N = dout.shape[0]
        dx = gamma / std * (dout - dbeta / N - xn * (dgamma / N))
        if out is None:
            return dx, dgamma, dbeta
        return _store(dx, out[0]), _store(dgamma, out[1]), _store(dbeta, out[2])

    def batch_norm_evaluation(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        mean: Array,
        var: Array,
        *,
        out: Array | None = None,
    ) -> Array:
        """``gamma * (x - mean) / sqrt(var + 1e-6) + beta``. x (N, D), the others (D,) -> (N, D)."""
        std = self.xp.sqrt(var + BATCH_NORM_EPSILON)
        return _store(gamma * ((x - mean) / std) + beta, out)

    def moving_average(self, average: Array, value: Array, *, momentum: float) -> Array:
        """``average = momentum * average + (1 - momentum) * value`` in place, of any shape."""
        average[...] = momentum * average + (1 - momentum) * value
        return average

    def softmax(self, x: Array, *, out: Array | None = None) -> Array:
        """``exp(x) / sum(exp(x))`` over the last axis, shifted by the maximum to be stable."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            e = self.xp.exp(x - self.xp.max(x, axis=-1, keepdims=True))
        return _store(e / self.xp.sum(e, axis=-1, keepdims=True), out)

    def softmax_cross_entropy(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """Losses ``-log softmax(x)[n, t[n]]`` and ``y = softmax(x)``.

        x (N, C), t (N,) indices of classes -> losses (N,), y (N, C). With ``s = x - max(x)`` the
        loss is ``log(sum(exp(s))) - s[t]``: no logarithm of a y that was rounded to 0. It is cut
        at half the largest finite number, so that it is finite where ``s`` overflows, and so is
        the mean of several.
        """
        xp = self.xp
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            s = x - xp.max(x, axis=1, keepdims=True)
        e = xp.exp(s)
        total = xp.sum(e, axis=1, keepdims=True)
        losses = (xp.log(total) - xp.take_along_axis(s, t[:, None], axis=1))[:, 0]
        losses = self._cut(losses)
        y = e / total
        return (losses, y) if out is None else (_store(losses, out[0]), _store(y, out[1]))

    def softmax_cross_entropy_backward(
        self, y: Array, t: Array, *, out: Array | None = None
    ) -> Array:
        """Gradient of the mean loss by x, ``(y - one_hot(t)) / N``. y (N, C), t (N,) -> (N, C)."""
        classes = self.xp.arange(y.shape[1], dtype=t.dtype, device=self.device)
        target = self.xp.astype(t[:, None] == classes[None, :], y.dtype)
        return _store((y - target) / y.shape[0], out)

    def sigmoid_cross_entropy(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """Losses ``sum(-t log(y) - (1 - t) log(1 - y))`` and ``y = sigmoid(x)``.

        x (N, C), t (N, C) from 0 to 1 -> losses (N,), each the sum over the C outputs, y (N, C).
        With ``e = exp(-|x|)``, which is at most 1, the loss of an output is ``|x| (1 - t) +
        log(1 + e)`` where x is positive, else ``|x| t + log(1 + e)``: no logarithm of a y that was
        rounded to 0 or 1, no difference of large numbers. It is cut as in `softmax_cross_entropy`.
        """
        xp = self.xp
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            size = xp.abs(x)
            missed = size * xp.where(x > 0, 1 - t, t)
            losses = self._cut(xp.sum(missed + xp.log1p(xp.exp(-size)), axis=1))
        y = self.sigmoid(x)
        return (losses, y) if out is None else (_store(losses, out[0]), _store(y, out[1]))

    def sigmoid_cross_entropy_backward(
        self, y: Array, t: Array, *, out: Array | None = None
    ) -> Array:
        """Gradient of the mean loss by x, ``(y - t) / N``. y, t (N, C) -> (N, C)."""
        return _store((y - t) / y.shape[0], out)

    def squared_error(self, x: Array, t: Array, *, out: Array | None = None) -> Array:
        """Losses ``sum((x - t)**2) / 2``, cut as those of softmax. x, t (N, C) -> (N,)."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            difference = x - t
            losses = self.xp.sum(difference * difference / 2, axis=1)
        return _store(self._cut(losses), out)

    def squared_error_backward(self, x: Array, t: Array, *, out: Array | None = None) -> Array:
        """Gradient of the mean loss by x, ``(x - t) / N``. x, t (N, C) -> (N, C)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return _store((x - t) / x.shape[0], out)

    def poisson_deviance(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """Losses ``sum(t log(t / y) - t + y)`` and ``y = exp(x)``: half the Poisson deviance.

        x (N, C), the logarithms of means, t (N, C) from 0 on -> losses (N,), y (N, C). The
        logarithm of y is x itself, and ``t log(t)`` is 0 for t = 0. Cut as the losses of softmax
        are, also where y overflows.
        """
        xp = self.xp
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            y = xp.exp(x)
            log_t = xp.log(xp.where(t > 0, t, xp.ones_like(t)))
            missed = xp.where(xp.isinf(y), y, t * (log_t - x) - t + y)
            losses = self._cut(xp.sum(missed, axis=1))
        return (losses, y) if out is None else (_store(losses, out[0]), _store(y, out[1]))

    def poisson_deviance_backward(self, y: Array, t: Array, *, out: Array | None = None) -> Array:
        """Gradient of the mean loss by x, ``(y - t) / N``. y, t (N, C) -> (N, C)."""
        return _store((y - t) / y.shape[0], out)

    def _cut(self, losses: Array) -> Array:
        """Cut losses at half the largest finite number; NaN stays NaN."""
        bound = self.xp.full_like(losses, float(self.xp.finfo(losses.dtype).max) / 2)
        return self.xp.where(losses > bound, bound, losses)

    def mean(self, losses: Array, *, out: Array | None = None) -> Array:
        """``sum(losses / N)``, which no losses (N,) of the primitives above overflow -> ()."""
        return _store(self.xp.sum(losses / losses.shape[0]), out)

    def weighted(self, values: Array, w: Array, *, out: Array | None = None) -> Array:
        """``values * w * N / sum(w)``, sample by sample, and 0 if all weights are zero -> (N, ...).

        values (N, ...), w (N,) not negative. Of losses the mean is then ``sum(w * losses) /
        sum(w)``, and of the gradient of their mean it is the gradient of that. What a weight is
        beside their mean is computed in float64, and rounded to the dtype of the values.
        """
        xp = self.xp
        w = self.astype(w, "float64")
        mean = xp.sum(w) / w.shape[0]
        share = xp.astype(w / xp.where(mean > 0, mean, xp.ones_like(mean)), values.dtype)
        share = xp.reshape(share, (values.shape[0], *[1] * (values.ndim - 1)))
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return _store(values * share, out)

    def penalised(
        self,
        loss: Array,
        *weights: Array,
        weight_decay: float | Array,
        times: float = 1,
        out: Array | None = None,
    ) -> Array:
        """``loss + times * weight_decay / 2 * sum(W**2)``, over all entries of all weights -> ().

        loss (), weights of any shapes; the squares are summed in float64. The dtype is that of the
        loss.
        """
        xp = self.xp
        loss = self.asarray(loss)  # a loss of a user's may give a number
        with np.errstate(over="ignore", invalid="ignore"):
            squares = [xp.sum(xp.square(self.astype(W, "float64"))) for W in weights]
            penalty = times * weight_decay / 2 * sum(squares[1:], squares[0])
            return _store(loss + xp.astype(penalty, loss.dtype), out)

    def count_correct(self, scores: Array, t: Array) -> Array:
        """Of how many samples the largest score (N, C) is that of the label t (N,) -> () int64."""
        correct = self.xp.argmax(scores, axis=1) == t
        return self.xp.sum(self.xp.astype(correct, self.xp.int64))

    def count_exact(self, scores: Array, t: Array) -> Array:
        """Of how many samples every score is on its target's side -> () int64.

        scores (N, C), t (N, C) from 0 to 1: positive where the target is above 1/2, else not. NaN
        is on no side.
        """
        xp = self.xp
        right = xp.where(t > 0.5, scores > 0, scores <= 0)
        return xp.sum(xp.astype(xp.all(right, axis=1), xp.int64))

    def label_indices(self, t: Array, classes: int) -> Array | None:
        """Classes (N,), int64, of the labels t: indices (N,) or one-hot (N, C).

        None if one of them is no label: not an integer in ``0 <= t < C``, or a row that is not one
        1, else 0. What is given back is never `t` itself, and in range whatever another thread does
        to `t` meanwhile.
        """
        xp = self.xp
        if t.ndim == 1:
            t = self.copy(t)
            wrong = ~((t >= 0) & (t < classes))
            if xp.isdtype(t.dtype, "real floating"):
                wrong = wrong | (xp.floor(t) != t)
            return None if bool(xp.any(wrong)) else self.astype(t, "int64")
        one = xp.astype(t == 1, xp.int64)
        wrong = (xp.sum(one, axis=1) != 1) | ~xp.all((t == 1) | (t == 0), axis=1)
        return None if bool(xp.any(wrong)) else xp.argmax(one, axis=1)

    def take_rows(
        self,
        x: Array,
        rows: Array,
        *,
        dtype: str | None = None,
        scale: float = 1.0,
        out: Array | None = None,
    ) -> Array:
        """``scale * x[rows]`` as `dtype`: a mini-batch. x (K, ...), rows (N,) int64 -> (N, ...).

        It is cast first, so that whole numbers can be scaled, then multiplied in `dtype`.
        """
        batch = self.xp.take(x, rows, axis=0)
        batch = self.astype(batch, dtype) if dtype else batch
        return _store(batch if scale == 1 else batch * scale, out)

    def clip_factor(
        self, *gradients: Array, clip_norm: float | Array, out: Array | None = None
    ) -> Array:
        """``min(1, clip_norm / (norm + 1e-6))``, from the norm of all gradients together -> ().

        ``norm = sqrt(sum of g**2 over all entries of all gradients)``, of any shapes, summed in
        float64; NaN if one of them is. That is PyTorch's ``clip_grad_norm_`` (Pascanu, Mikolov and
        Bengio 2013, algorithm 1). Of the dtype of the first gradient.
        """
        xp = self.xp
        arrays = [self.asarray(g) for g in gradients]  # a layer of a user's may give numbers
        squares = [xp.sum(xp.square(self.astype(g, "float64"))) for g in arrays]
        factor = clip_norm / (xp.sqrt(sum(squares[1:], squares[0])) + CLIP_EPSILON)
        factor = xp.where(factor > 1, xp.ones_like(factor), factor)
        return _store(xp.astype(factor, arrays[0].dtype), out)

    def scaled_gradient(self, dW: Array, factor: Array, *, out: Array | None = None) -> Array:
        """``factor * dW``, as dW is; factor () is what `clip_factor` gives. Of any shape."""
        dW = self.asarray(dW)
        return _store(self.xp.astype(factor, dW.dtype) * dW, out)

    def decayed_gradient(
        self, dW: Array, W: Array, *, weight_decay: float | Array, out: Array | None = None
    ) -> Array:
        """``dW + weight_decay * W``: with the penalty ``weight_decay / 2 * sum(W**2)`` in the loss.

        W and dW of one shape.
        """
        return _store(dW + weight_decay * W, out)

    def decay_weights(self, W: Array, *, lr: float, weight_decay: float) -> Array:
        """Do ``W -= lr * weight_decay * W`` in place, for W of any shape.

        Weight decay that an adaptive rule does not scale (Loshchilov and Hutter 2019,
        https://arxiv.org/abs/1711.05101, algorithm 2, line 12).
        """
        W -= (lr * weight_decay) * W
        return W

    def sgd_update(self, W: Array, dW: Array, *, lr: float) -> Array:
        """Do ``W -= lr * dW`` in place, for a parameter of any shape; it keeps its dtype."""
        change = lr * dW
        mixed = getattr(change, "dtype", W.dtype) != W.dtype  # of a layer that gives a number
        W -= self.xp.astype(change, W.dtype) if mixed else change
        return W

    # The rules below change W, and arrays of state of its shape and dtype, in place. Factors of the
    # form ``1 - beta`` are arguments themselves: rounded to float32 first, the difference of two
    # numbers near 1 would be wrong in the fifth digit.

    def momentum_update(
        self, W: Array, dW: Array, v: Array, *, lr: float, momentum: float
    ) -> Array:
        """``v = momentum * v - lr * dW; W += v`` (Polyak 1964)."""
        dW = self._of_dtype(dW, W)
        v *= momentum
        v -= lr * dW
        W += v
        return W

    def nesterov_update(
        self, W: Array, dW: Array, v: Array, *, lr: float, momentum: float
    ) -> Array:
        """``W += momentum**2 * v - (1 + momentum) * lr * dW; v = momentum * v - lr * dW``.

        Nesterov's accelerated gradient, W being the point that looks ahead (Bengio et al. 2012,
        https://arxiv.org/abs/1212.0901, equation 7).
        """
        change = lr * self._of_dtype(dW, W)
        W += momentum * momentum * v
        W -= (1 + momentum) * change
        v *= momentum
        v -= change
        return W

    def adagrad_update(self, W: Array, dW: Array, h: Array, *, lr: float) -> Array:
        """``h += dW**2; W -= lr * dW / (sqrt(h) + 1e-7)`` (Duchi et al. 2011)."""
        dW = self._of_dtype(dW, W)
        h += dW * dW
        W -= lr * dW / (self.xp.sqrt(h) + EPSILON)
        return W

    def rmsprop_update(
        self, W: Array, dW: Array, h: Array, *, lr: float, one_minus_decay_rate: float
    ) -> Array:
        """``h += (1 - decay_rate) * (dW**2 - h); W -= lr * dW / (sqrt(h) + 1e-7)``.

        Tieleman and Hinton 2012, lecture 6.5.
        """
        dW = self._of_dtype(dW, W)
        h += one_minus_decay_rate * (dW * dW - h)
        W -= lr * dW / (self.xp.sqrt(h) + EPSILON)
        return W

    def adam_update(
        self,
        W: Array,
        dW: Array,
        m: Array,
        v: Array,
        *,
        lr_t: float,
        one_minus_beta1: float,
        one_minus_beta2: float,
        epsilon: float = EPSILON,
    ) -> Array:
        """``m += (1 - beta1) * (dW - m); v += (1 - beta2) * (dW**2 - v)``.

        And ``W -= lr_t * m / (sqrt(v) + epsilon)``, where ``lr_t = lr * sqrt(1 - beta2**t) /
        (1 - beta1**t)`` at step t, from 1 on (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980,
        end of section 2).
        """
        dW = self._of_dtype(dW, W)
        m += one_minus_beta1 * (dW - m)
        v += one_minus_beta2 * (dW * dW - v)
        W -= lr_t * m / (self.xp.sqrt(v) + epsilon)
        return W

    def _of_dtype(self, dW: Array, W: Array) -> Array:
        """Give a gradient in the dtype of its parameter; a number, of a user's layer, as it is."""
        mixed = getattr(dW, "dtype", W.dtype) != W.dtype
        return self.xp.astype(dW, W.dtype) if mixed else dW

    # Training

    def seconds_compiling(self) -> float:
        """Give the seconds that this process has spent compiling kernels of this backend so far."""
        return 0.0

    def compile(self, plan: StepPlan) -> Runner | None:
        """Compile a step plan as a whole; None where a loop over its steps is as good."""
        return None

    def explain(self, chain: Chain) -> Course:
        """Say how the steps of a plan with this chain run, by the decision that `compile` takes."""
        return Course("loop", (Reason("", f"the backend {self.name} compiles no steps"),))


def _store(result: Array, out: Array | None) -> Array:
    if out is None:
        return result
    out[...] = result
    return out
