"""Numba: compiled kernels where one pass over memory does what NumPy does in several.

Matrix products stay with NumPy's BLAS. The rest of a training step are kernels of
`fastnn.kernels.cpu`, which is where the reasons stand. They take C-contiguous arrays: inputs are
made so here, and for a result that has to go elsewhere NumPy does the work.
"""

from __future__ import annotations

import math

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import BATCH_NORM_EPSILON, EPSILON
from fastnn.backends.kernel_or_formula import (
    FLOATS,
    contiguous,
    fills,
    kernel_for,
    of_one_shape,
    same_floats,
    same_floats_as_gradient,
)
from fastnn.backends.known_parts import (
    CLIPPING,
    PENALTY,
    SAMPLE_WEIGHTS,
    WEIGHT_DECAY,
    Course,
    KnownParts,
)
from fastnn.backends.numpy import NumpyBackend
from fastnn.backends.philox import least_word
from fastnn.backends.plan import Chain, Runner, StepPlan

LABEL_DTYPES = {np.dtype(name) for name in ("uint8", "int32", "int64", "float32", "float64")}
"""Of labels that a kernel checks; it is compiled for each."""

LEAST_COLUMNS = 16
"""Of a product in a kernel: as many as its vectors have lanes."""

OWN_PRODUCT_FROM, OWN_PRODUCT_UP_TO = 1 << 17, 1 << 23
"""Multiplications between which a kernel on one thread beats BLAS at few columns.

In larger products x comes from main memory, which a BLAS reads once, and this kernel without haste.
"""

SKIP_COLUMNS, SKIP_SAMPLES = 128, 2048
"""Columns and samples up to which a kernel that skips zeros of x is tried before BLAS.

With more columns it is ahead of a BLAS on one or two threads, and behind one on many.
"""


class NumbaBackend(NumpyBackend):
    """NumPy arrays, compiled kernels."""

    name = "numba"

    def __init__(self) -> None:
        super().__init__()
        import numpy.ma  # noqa: F401 - Numba does when it is first called: better here, see forking

        from fastnn.kernels import cpu
        from fastnn.kernels.cpu.machine_code.compiling import seconds_compiling
        from fastnn.kernels.cpu.strips import STRIP_BYTES

        self._kernels = cpu
        self._strip_bytes = STRIP_BYTES
        self._seconds_compiling = seconds_compiling

    @classmethod
    def unavailable_reason(cls) -> str | None:
        """See `Backend.unavailable_reason`: Numba may be missing, or refuse this NumPy."""
        try:
            import numba
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == "numba":
                return "Numba is not installed; pip install numba."
            return f"Numba is installed but does not import ({error}); pip install -U numba numpy."
        if numba.config.DISABLE_JIT:
            return "Numba's compiler is switched off; unset NUMBA_DISABLE_JIT."
        try:
            import fastnn.kernels.cpu  # noqa: F401
        except ModuleNotFoundError as error:
            return f"{error}; install fastnn (pip install -e . in a clone) rather than copy it."
        except Exception as error:
            kind = type(error).__name__
            return f"its kernels do not import ({kind}: {error}); pip install -U numba numpy."
        return None

    def library_version(self) -> str:
        """See `NumpyBackend.library_version`."""
        import numba

        return str(numba.__version__)

    # Primitives

    @kernel_for(
        lambda x, W, b, relu, out: (
            x.dtype == W.dtype == b.dtype
            and b.shape == W.shape[1:]
            and contiguous(b)
            and (out is None or fills(out, (x.shape[0], W.shape[1]), W.dtype))
        )
    )
    def affine(
        self, x: Array, W: Array, b: Array, *, relu: bool = False, out: Array | None = None
    ) -> Array:
        """See `Backend.affine`."""
        skip, own = _product_kernels(x, W, self._strip_bytes, inner=x.shape[1])
        result = np.empty((x.shape[0], W.shape[1]), W.dtype) if out is None else out
        if skip and self._kernels.affine_skipping_zeros(x, W, b, result):
            return self.relu(result, out=result) if relu else result
        if own:
            self._kernels.affine(x, W, b, relu, result)
            return result
        np.matmul(x, W, out=result)
        add = self._kernels.add_bias_relu if relu else self._kernels.add_bias
        add(result, b)
        return result

    @kernel_for(
        lambda dout, x, W, relu, input_gradient, out: (
            dout.dtype == x.dtype == W.dtype
            and contiguous(dout)
            and (
                out is None
                or (
                    fills(out[0], x.shape, x.dtype)
                    and fills(out[1], W.shape, x.dtype)
                    and fills(out[2], W.shape[1:], x.dtype)
                )
            )
        )
    )
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
        """See `Backend.affine_backward`; dout @ W.T is left to BLAS."""
        into_dx, into_dW, into_db = (None, None, None) if out is None else out
        dx = None
        if input_gradient:
            dx = np.matmul(dout, W.T, out=into_dx)
            if relu:
                self._kernels.zero_behind_relu(dx.reshape(-1), _flat(x))
        dW = np.empty(W.shape, dout.dtype) if into_dW is None else into_dW
        skip, own = _product_kernels(x, dout, self._strip_bytes, inner=x.shape[0])
        if not (skip and self._kernels.transposed_product_skipping_zeros(x, dout, dW)):
            if own:
                self._kernels.transposed_product(x, dout, dW)
            else:
                np.matmul(x.T, dout, out=dW)
        db = np.empty(dout.shape[1], dout.dtype) if into_db is None else into_db
        self._kernels.sum_of_rows(dout, db)
        return dx, dW, db

    @kernel_for(lambda x, out: out is None or contiguous(out))
    def relu(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.relu`."""
        result = np.empty(x.shape, x.dtype) if out is None else out
        self._kernels.relu(_flat(x), result.reshape(-1))
        return result

    @kernel_for(lambda dout, mask, out: out is None or contiguous(out))
    def relu_backward(self, dout: Array, mask: Array, *, out: Array | None = None) -> Array:
        """See `Backend.relu_backward`."""
        result = np.empty(dout.shape, dout.dtype) if out is None else out
        self._kernels.zero_where(_flat(dout), _flat(mask), result.reshape(-1))
        return result

    @kernel_for(
        lambda x, step, ratio, key, out: (
            out is None or (fills(out[0], x.shape, x.dtype) and fills(out[1], x.shape, "bool"))
        )
    )
    def dropout(
        self,
        x: Array,
        step: int | Array,
        *,
        ratio: float,
        key: int,
        out: tuple[Array, Array] | None = None,
    ) -> tuple[Array, Array]:
        """See `Backend.dropout`."""
        y, mask = (np.empty(x.shape, x.dtype), np.empty(x.shape, "bool")) if out is None else out
        rows = (len(x), math.prod(x.shape[1:]))
        words = np.uint64(least_word(ratio)), np.uint64(step), np.uint64(key)
        x = np.ascontiguousarray(x).reshape(rows)
        self._kernels.dropout(x, *words, y.reshape(rows), mask.reshape(rows))
        return y, mask

    @kernel_for(lambda dout, mask, out: fills(out, dout.shape, dout.dtype))
    def dropout_backward(self, dout: Array, mask: Array, *, out: Array | None = None) -> Array:
        """See `Backend.dropout_backward`."""
        result = np.empty(dout.shape, dout.dtype) if out is None else out
        self._kernels.multiply_by_mask(_flat(dout), _flat(mask), result.reshape(-1))
        return result

    @kernel_for(
        lambda x, gamma, beta, out: (
            same_floats(x, gamma, beta)
            and of_one_shape(gamma, beta)
            and contiguous(gamma, beta)
            and (out is None or contiguous(*out))
        )
    )
    def batch_norm(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        *,
        out: tuple[Array, Array, Array, Array, Array] | None = None,
    ) -> tuple[Array, Array, Array, Array, Array]:
        """See `Backend.batch_norm`."""
        y, xn, std, mean, var = out or (
            np.empty(x.shape, x.dtype),
            np.empty(x.shape, x.dtype),
            np.empty(gamma.shape, x.dtype),
            np.empty(gamma.shape, x.dtype),
            np.empty(gamma.shape, x.dtype),
        )
        self._kernels.normalise(np.ascontiguousarray(x), BATCH_NORM_EPSILON, xn, std, mean, var)
        self._kernels.scale_and_shift(xn, gamma, beta, y)
        return y, xn, std, mean, var

    @kernel_for(
        lambda dout, gamma, xn, std, out: (
            same_floats(dout, gamma, xn, std)
            and contiguous(gamma, xn, std)
            and (out is None or contiguous(*out))
        )
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
        """See `Backend.batch_norm_backward`."""
        dx, dgamma, dbeta = out or (
            np.empty(dout.shape, dout.dtype),
            np.empty(gamma.shape, dout.dtype),
            np.empty(gamma.shape, dout.dtype),
        )
        dout = np.ascontiguousarray(dout)
        self._kernels.batch_norm_backward(dout, gamma, xn, std, dx, dgamma, dbeta)
        return dx, dgamma, dbeta

    @kernel_for(
        lambda x, gamma, beta, mean, var, out: (
            same_floats(x, gamma, beta, mean, var)
            and of_one_shape(gamma, beta, mean, var)
            and contiguous(gamma, beta, mean, var)
            and (out is None or contiguous(out))
        )
    )
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
        """See `Backend.batch_norm_evaluation`."""
        y = np.empty(x.shape, x.dtype) if out is None else out
        x = np.ascontiguousarray(x)
        self._kernels.batch_norm_evaluation(x, gamma, beta, mean, var, y, BATCH_NORM_EPSILON)
        return y

    @kernel_for(
        lambda average, value, momentum: (
            same_floats(average, value) and of_one_shape(average, value) and contiguous(average)
        )
    )
    def moving_average(self, average: Array, value: Array, *, momentum: float) -> Array:
        """See `Backend.moving_average`."""
        self._kernels.moving_average(average.reshape(-1), _flat(value), momentum)
        return average

    @kernel_for(lambda x, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def sigmoid(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.sigmoid`."""
        result = np.empty(x.shape, x.dtype) if out is None else out
        self._kernels.sigmoid(_flat(x), result.reshape(-1))
        return result

    @kernel_for(lambda dout, y, out: same_floats(dout, y) and fills(out, y.shape, y.dtype))
    def sigmoid_backward(self, dout: Array, y: Array, *, out: Array | None = None) -> Array:
        """See `Backend.sigmoid_backward`."""
        result = np.empty(y.shape, y.dtype) if out is None else out
        self._kernels.sigmoid_backward(_flat(dout), _flat(y), result.reshape(-1))
        return result

    @kernel_for(lambda dout, y, out: same_floats(dout, y) and fills(out, y.shape, y.dtype))
    def tanh_backward(self, dout: Array, y: Array, *, out: Array | None = None) -> Array:
        """See `Backend.tanh_backward`."""
        result = np.empty(y.shape, y.dtype) if out is None else out
        self._kernels.tanh_backward(_flat(dout), _flat(y), result.reshape(-1))
        return result

    @kernel_for(lambda x, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def gelu(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.gelu`."""
        result = np.empty(x.shape, x.dtype) if out is None else out
        self._kernels.gelu(_flat(x), result.reshape(-1))
        return result

    @kernel_for(lambda dout, x, out: same_floats(dout, x) and fills(out, x.shape, x.dtype))
    def gelu_backward(self, dout: Array, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.gelu_backward`."""
        result = np.empty(x.shape, x.dtype) if out is None else out
        self._kernels.gelu_backward(_flat(dout), _flat(x), result.reshape(-1))
        return result

    @kernel_for(lambda x, slope, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def leaky_relu(self, x: Array, *, slope: float, out: Array | None = None) -> Array:
        """See `Backend.leaky_relu`."""
        result = np.empty(x.shape, x.dtype) if out is None else out
        self._kernels.leaky_relu(_flat(x), float(slope), result.reshape(-1))
        return result

    @kernel_for(
        lambda dout, y, slope, out: same_floats(dout, y) and fills(out, dout.shape, dout.dtype)
    )
    def leaky_relu_backward(
        self, dout: Array, y: Array, *, slope: float, out: Array | None = None
    ) -> Array:
        """See `Backend.leaky_relu_backward`."""
        result = np.empty(dout.shape, dout.dtype) if out is None else out
        self._kernels.leaky_relu_backward(_flat(dout), _flat(y), float(slope), result.reshape(-1))
        return result

    @kernel_for(lambda x, out: out is None or contiguous(out))
    def softmax(self, x: Array, *, out: Array | None = None) -> Array:
        """See `Backend.softmax`."""
        y = np.empty(x.shape, x.dtype) if out is None else out
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        self._kernels.softmax(rows, y.reshape(rows.shape))
        return y

    @kernel_for(lambda x, t, out: out is None or contiguous(*out))
    def softmax_cross_entropy(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """See `Backend.softmax_cross_entropy`."""
        losses, y = out or (np.empty(x.shape[:1], x.dtype), np.empty(x.shape, x.dtype))
        self._kernels.softmax_cross_entropy(
            np.ascontiguousarray(x), np.ascontiguousarray(t), losses, y
        )
        return losses, y

    @kernel_for(lambda y, t, out: out is None or contiguous(out))
    def softmax_cross_entropy_backward(
        self, y: Array, t: Array, *, out: Array | None = None
    ) -> Array:
        """See `Backend.softmax_cross_entropy_backward`."""
        dx = np.empty(y.shape, y.dtype) if out is None else out
        self._kernels.softmax_cross_entropy_backward(
            np.ascontiguousarray(y), np.ascontiguousarray(t), dx
        )
        return dx

    @kernel_for(lambda x, t, out: x.dtype == t.dtype and (out is None or contiguous(*out)))
    def sigmoid_cross_entropy(
        self, x: Array, t: Array, *, out: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """See `Backend.sigmoid_cross_entropy`."""
        losses, y = out or (np.empty(x.shape[:1], x.dtype), np.empty(x.shape, x.dtype))
        self._kernels.sigmoid_cross_entropy(
            np.ascontiguousarray(x), np.ascontiguousarray(t), losses, y
        )
        return losses, y

    @kernel_for(lambda y, t, out: y.dtype == t.dtype and (out is None or contiguous(out)))
    def sigmoid_cross_entropy_backward(
        self, y: Array, t: Array, *, out: Array | None = None
    ) -> Array:
        """See `Backend.sigmoid_cross_entropy_backward`."""
        return self._difference_over_samples(y, t, out)

    @kernel_for(lambda x, t, out: x.dtype == t.dtype and (out is None or contiguous(out)))
    def squared_error(self, x: Array, t: Array, *, out: Array | None = None) -> Array:
        """See `Backend.squared_error`."""
        losses = np.empty(x.shape[:1], x.dtype) if out is None else out
        self._kernels.squared_error(np.ascontiguousarray(x), np.ascontiguousarray(t), losses)
        return losses

    @kernel_for(lambda x, t, out: x.dtype == t.dtype and (out is None or contiguous(out)))
    def squared_error_backward(self, x: Array, t: Array, *, out: Array | None = None) -> Array:
        """See `Backend.squared_error_backward`."""
        return self._difference_over_samples(x, t, out)

    def _difference_over_samples(self, y: Array, t: Array, out: Array | None) -> Array:
        dx = np.empty(y.shape, y.dtype) if out is None else out
        self._kernels.difference_over_samples(np.ascontiguousarray(y), np.ascontiguousarray(t), dx)
        return dx

    def count_correct(self, scores: Array, t: Array) -> Array:
        """See `Backend.count_correct`."""
        return np.asarray(
            self._kernels.count_correct(np.ascontiguousarray(scores), np.ascontiguousarray(t))
        )

    @kernel_for(lambda t, classes: t.dtype in LABEL_DTYPES and contiguous(t))
    def label_indices(self, t: Array, classes: int) -> Array | None:
        """See `Backend.label_indices`."""
        indices = np.empty(len(t), np.int64)
        if t.ndim == 1:
            right = self._kernels.check_indices(t, classes, indices)
        else:
            right = self._kernels.classes_of_one_hot(t, indices)
        return indices if right else None

    def mean(self, losses: Array, *, out: Array | None = None) -> Array:
        """See `Backend.mean`."""
        result = np.empty((), losses.dtype) if out is None else out
        self._kernels.mean(np.ascontiguousarray(losses), result)
        return result

    @kernel_for(
        lambda x, rows, dtype, scale, out: contiguous(x) and (out is None or contiguous(out))
    )
    def take_rows(
        self,
        x: Array,
        rows: Array,
        *,
        dtype: str | None = None,
        scale: float = 1.0,
        out: Array | None = None,
    ) -> Array:
        """See `Backend.take_rows`."""
        batch = np.empty((len(rows), *x.shape[1:]), dtype or x.dtype) if out is None else out
        flat = batch.reshape(len(rows), -1)
        self._kernels.take_rows(x.reshape(len(x), -1), np.ascontiguousarray(rows), scale, flat)
        return batch

    @kernel_for(
        lambda dW, W, weight_decay, out: (
            hasattr(dW, "dtype") and same_floats(dW, W) and fills(out, W.shape, W.dtype)
        )
    )
    def decayed_gradient(
        self, dW: Array, W: Array, *, weight_decay: float, out: Array | None = None
    ) -> Array:
        """See `Backend.decayed_gradient`."""
        result = np.empty(W.shape, W.dtype) if out is None else out
        self._kernels.decayed_gradient(_flat(dW), _flat(W), weight_decay, result.reshape(-1))
        return result

    @kernel_for(
        lambda W, dW, lr: (
            W.dtype in FLOATS and getattr(dW, "dtype", None) in FLOATS and contiguous(W)
        )
    )
    def sgd_update(self, W: Array, dW: Array, *, lr: float) -> Array:
        """See `Backend.sgd_update`; a gradient may be a number, of a layer of the user's own."""
        self._kernels.sgd_update(W.reshape(-1), _flat(dW), lr)
        return W

    @kernel_for(lambda W, lr, weight_decay: same_floats(W) and contiguous(W))
    def decay_weights(self, W: Array, *, lr: float, weight_decay: float) -> Array:
        """See `Backend.decay_weights`."""
        self._kernels.decay_weights(W.reshape(-1), lr, weight_decay)
        return W

    @kernel_for(lambda W, dW, v, lr, momentum: _one_pass(W, dW, v))
    def momentum_update(
        self, W: Array, dW: Array, v: Array, *, lr: float, momentum: float
    ) -> Array:
        """See `Backend.momentum_update`."""
        self._kernels.momentum_update(W.reshape(-1), _flat(dW), v.reshape(-1), lr, momentum)
        return W

    @kernel_for(lambda W, dW, v, lr, momentum: _one_pass(W, dW, v))
    def nesterov_update(
        self, W: Array, dW: Array, v: Array, *, lr: float, momentum: float
    ) -> Array:
        """See `Backend.nesterov_update`."""
        self._kernels.nesterov_update(W.reshape(-1), _flat(dW), v.reshape(-1), lr, momentum)
        return W

    @kernel_for(lambda W, dW, h, lr: _one_pass(W, dW, h))
    def adagrad_update(self, W: Array, dW: Array, h: Array, *, lr: float) -> Array:
        """See `Backend.adagrad_update`."""
        self._kernels.adagrad_update(W.reshape(-1), _flat(dW), h.reshape(-1), lr, EPSILON)
        return W

    @kernel_for(lambda W, dW, h, lr, one_minus_decay_rate: _one_pass(W, dW, h))
    def rmsprop_update(
        self, W: Array, dW: Array, h: Array, *, lr: float, one_minus_decay_rate: float
    ) -> Array:
        """See `Backend.rmsprop_update`."""
        arrays = W.reshape(-1), _flat(dW), h.reshape(-1)
        self._kernels.rmsprop_update(*arrays, lr, one_minus_decay_rate, EPSILON)
        return W

    @kernel_for(
        lambda W, dW, m, v, lr_t, one_minus_beta1, one_minus_beta2, epsilon: _one_pass(W, dW, m, v)
    )
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
        """See `Backend.adam_update`."""
        arrays = W.reshape(-1), _flat(dW), m.reshape(-1), v.reshape(-1)
        self._kernels.adam_update(*arrays, lr_t, one_minus_beta1, one_minus_beta2, epsilon)
        return W

    def seconds_compiling(self) -> float:
        """See `Backend.seconds_compiling`."""
        return float(self._seconds_compiling())

    def compile(self, plan: StepPlan) -> Runner | None:
        """See `Backend.compile`: a chain of known parts runs in compiled code."""
        from fastnn.system.forking import no_fork

        known = _known_parts()
        if known.reasons(plan.chain) or known.reasons_of_data(plan):
            return None
        with no_fork:
            from fastnn.backends.numba.runner import CompiledStep
        return CompiledStep(plan)

    def explain(self, chain: Chain) -> Course:
        """See `Backend.explain`."""
        reasons = _known_parts().reasons(chain)
        if reasons:
            return Course("loop", reasons)
        from fastnn.backends.numba.runner import sparse_up_to

        most = sparse_up_to(chain.blocks[0].units)
        skips = f"the first layer skips zeros of x where {most:.0%} of it or less is not zero"
        return Course("compiled step", data=(skips,))


def _known_parts() -> KnownParts:
    """Give what the compiled step is put together from."""
    from fastnn.system.forking import no_fork

    with no_fork:
        from fastnn.kernels.cpu import activations, losses_in_strips, rules
    return KnownParts(
        "the compiled step",
        activations=activations.BY_NAME,
        losses=losses_in_strips.BY_NAME,
        rules=rules.BY_NAME,
        extras=(WEIGHT_DECAY, PENALTY, CLIPPING, SAMPLE_WEIGHTS),
        normalises=True,
        drops=True,
    )


def _product_kernels(x: Array, B: Array, strip_bytes: int, *, inner: int) -> tuple[bool, bool]:
    """Whether a kernel that skips zeros, and one that does not, may beat BLAS at ``x @ B``.

    Or at ``x.T @ B``; `inner` is the length of the axis of x that is summed over.
    """
    columns = B.shape[1]
    multiplications = x.size * columns
    if columns < LEAST_COLUMNS or multiplications < OWN_PRODUCT_FROM or B.shape[0] != inner:
        return False, False
    if not (x.dtype == B.dtype and x.flags.c_contiguous and B.flags.c_contiguous):
        return False, False
    skip = columns <= SKIP_COLUMNS and x.shape[0] <= SKIP_SAMPLES
    own = columns <= strip_bytes // B.itemsize and multiplications <= OWN_PRODUCT_UP_TO
    return skip, own


def _one_pass(W: Array, dW: Array, *state: Array) -> bool:
    """Whether a kernel takes a parameter, its gradient and its state."""
    return same_floats_as_gradient(W, dW, *state) and contiguous(W, *state)


def _flat(x: Array) -> Array:
    return np.ascontiguousarray(x).reshape(-1)
