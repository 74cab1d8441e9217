"""What optimizers compute, on a GPU, one kernel each.

Numbers may be arrays () as well, which the device reads: they differ from step to step of a graph.
"""

from __future__ import annotations

from typing import Any

from fastnn.backends.arrays import Array
from fastnn.backends.base import CLIP_EPSILON, EPSILON, Backend
from fastnn.backends.kernel_or_formula import (
    fills,
    kernel_for,
    same_floats,
    same_floats_as_gradient,
)
from fastnn.kernels.cuda import clipping, rules


class RulePrimitives(Backend):
    """Overrides of `Backend`; see there."""

    _cupy: Any

    def clip_factor(
        self, *gradients: Array, clip_norm: float | Array, out: Array | None = None
    ) -> Array:
        """See `Backend.clip_factor`. `clip_norm` may be an array (), which the device reads."""
        arrays = [self._cupy.ascontiguousarray(self.asarray(g)) for g in gradients]
        if not all(same_floats(g) for g in arrays) or not fills(out, (), arrays[0].dtype):
            return super().clip_factor(*arrays, clip_norm=clip_norm, out=out)
        factor = self._cupy.empty((), arrays[0].dtype) if out is None else out
        clipping.clip_factor(
            gradients=arrays, clip_norm=clip_norm, epsilon=CLIP_EPSILON, factor=factor
        )
        return factor

    def scaled_gradient(self, dW: Array, factor: Array, *, out: Array | None = None) -> Array:
        """See `Backend.scaled_gradient`; in one kernel of CuPy's."""
        dW = self.asarray(dW)
        return self._cupy.multiply(dW, factor.astype(dW.dtype, copy=False), out=out)

    @kernel_for(
        lambda dW, W, weight_decay, out: (
            same_floats_as_gradient(dW, W) and fills(out, W.shape, W.dtype)
        )
    )
    def decayed_gradient(
        self, dW: Array, W: Array, *, weight_decay: float | Array, out: Array | None = None
    ) -> Array:
        """See `Backend.decayed_gradient`. `weight_decay` may be an array (), as `clip_norm`."""
        result = self._cupy.empty(W.shape, W.dtype) if out is None else out
        rules.decayed_gradient(dW=dW, W=W, weight_decay=weight_decay, out=result)
        return result

    @kernel_for(lambda W, dW, lr: same_floats_as_gradient(W, dW))
    def sgd_update(self, W: Array, dW: Array, *, lr: float | Array) -> Array:
        """See `Backend.sgd_update`. `lr` may be an array (), which the device reads."""
        rules.update("sgd_update", W, dW, lr=lr)
        return W

    @kernel_for(lambda W, lr, weight_decay: same_floats(W))
    def decay_weights(self, W: Array, *, lr: float | Array, weight_decay: float | Array) -> Array:
        """See `Backend.decay_weights`; numbers may be arrays (), as in all rules here."""
        rules.decay_weights(W=W, lr=lr, weight_decay=weight_decay)
        return W

    @kernel_for(lambda W, dW, v, lr, momentum: same_floats_as_gradient(W, dW, v))
    def momentum_update(
        self, W: Array, dW: Array, v: Array, *, lr: float | Array, momentum: float | Array
    ) -> Array:
        """See `Backend.momentum_update`; numbers may be arrays (), as in all rules here."""
        rules.update("momentum_update", W, dW, v, lr=lr, momentum=momentum)
        return W

    @kernel_for(lambda W, dW, v, lr, momentum: same_floats_as_gradient(W, dW, v))
    def nesterov_update(
        self, W: Array, dW: Array, v: Array, *, lr: float | Array, momentum: float | Array
    ) -> Array:
        """See `Backend.nesterov_update`."""
        rules.update("nesterov_update", W, dW, v, lr=lr, momentum=momentum)
        return W

    @kernel_for(lambda W, dW, h, lr: same_floats_as_gradient(W, dW, h))
    def adagrad_update(self, W: Array, dW: Array, h: Array, *, lr: float | Array) -> Array:
        """See `Backend.adagrad_update`."""
        rules.update("adagrad_update", W, dW, h, lr=lr, epsilon=EPSILON)
        return W

    @kernel_for(lambda W, dW, h, lr, one_minus_decay_rate: same_floats_as_gradient(W, dW, h))
    def rmsprop_update(
        self,
        W: Array,
        dW: Array,
        h: Array,
        *,
        lr: float | Array,
        one_minus_decay_rate: float | Array,
    ) -> Array:
        """See `Backend.rmsprop_update`."""
        numbers = {"lr": lr, "one_minus_decay_rate": one_minus_decay_rate, "epsilon": EPSILON}
        rules.update("rmsprop_update", W, dW, h, **numbers)
        return W

    @kernel_for(
        lambda W, dW, m, v, lr_t, one_minus_beta1, one_minus_beta2, epsilon: (
            same_floats_as_gradient(W, dW, m, v)
        )
    )
    def adam_update(
        self,
        W: Array,
        dW: Array,
        m: Array,
        v: Array,
        *,
        lr_t: float | Array,
        one_minus_beta1: float | Array,
        one_minus_beta2: float | Array,
        epsilon: float | Array = EPSILON,
    ) -> Array:
        """See `Backend.adam_update`."""
        rules.update(
            "adam_update", W, dW, m, v, lr_t=lr_t, one_minus_beta1=one_minus_beta1,
            one_minus_beta2=one_minus_beta2, epsilon=epsilon,
        )  # fmt: skip
        return W
