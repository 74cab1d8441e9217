"""The update of a chain as the last kernels of the fused step, and the numbers that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from fastnn.backends.arrays import Array
from fastnn.backends.base import CLIP_EPSILON, EPSILON, Backend
from fastnn.backends.cupy.large_passes import LargePasses
from fastnn.backends.cupy.launch import Launch
from fastnn.backends.cupy.passes import Passes
from fastnn.backends.plan import Chain, Numbers, Rule, StepPlan, state_name
from fastnn.backends.stages import Stage
from fastnn.kernels.cuda.loading import C_TYPES
from fastnn.kernels.cuda.rows import row_type
from fastnn.kernels.cuda.rules import BY_PRIMITIVE
from fastnn.kernels.cuda.weights import (
    LayerParameters,
    Parameter,
    UpdateClipped,
    UpdateWeights,
)


class Update:
    """Makes the kernels of the update.

    Attributes
    ----------
    launches : list of Launch
        In order, behind those of the passes.
    """

    def __init__(
        self,
        backend: Backend,
        plan: StepPlan,
        stages: Sequence[Stage],
        passes: Passes | LargePasses,
        control: Array,
    ) -> None:
        self._backend, self._plan = backend, plan
        chain, data = plan.chain, plan.arrays["x_data"]
        rule, self._names = rule_of(chain, plan.dtype)
        layers = [
            LayerParameters(x, dout, *map(self._parameter, stage.affine.parameters))
            for (x, dout), stage in zip(passes.factors, stages, strict=False)
        ]
        others = [self._parameter(*each) for each in passes.gradients.items()]
        update = UpdateWeights(
            layers, others, rule, row_type(plan.dtype, data), clip_epsilon=CLIP_EPSILON,
            penalty_times=1 if chain.penalty is None else chain.penalty.times,
        )  # fmt: skip
        self.launches: list[Launch] = [
            partial(update, control=control, data=data, scale=plan.scale, losses=passes.losses)
        ]
        if chain.clips:
            clipped = UpdateClipped(layers, others, rule)
            self.launches.append(partial(clipped, control=control, clip_factor=update.clip_factor))

    def numbers(self, hyperparameters: Mapping[str, Numbers]) -> list[Numbers]:
        """Give the numbers of the rule, as the control block takes them."""
        known: dict[str, Numbers] = {"epsilon": EPSILON, **hyperparameters}
        penalty = self._plan.chain.penalty
        if penalty is not None:
            fixed = penalty.weight_decay
            known["penalty"] = hyperparameters["weight_decay"] if fixed is None else fixed
        return [known[name] for name in self._names]

    def _parameter(self, name: str, gradient: Array | None = None) -> Parameter:
        """Give a parameter with its state, and where its gradient is, or is kept to be clipped."""
        plan, rule = self._plan, self._plan.chain.update
        assert isinstance(rule, Rule)
        values = plan.arrays[name]
        state = tuple(plan.arrays[state_name(each, name)] for each in rule.state)
        if gradient is None and plan.chain.clips:
            gradient = self._backend.empty(values.shape, plan.dtype)
        return Parameter(values, state, gradient)


def rule_of(chain: Chain, dtype: str) -> tuple[str, tuple[str, ...]]:
    """Put the rule of a chain together: its type in ``rules.cuh``, and its numbers in order."""
    assert isinstance(chain.update, Rule)
    T, kind = C_TYPES[dtype], BY_PRIMITIVE[chain.update.primitive]
    rule, numbers = f"{kind.name}<{T}>", kind.numbers
    if chain.decayed:
        every = "true" if set(chain.decayed) == set(chain.parameters) else "false"
        if chain.update.decouples_decay:
            rule, numbers = f"Decoupled<{T}, {rule}, {every}>", ("lr", "weight_decay", *numbers)
        else:
            rule, numbers = f"Decayed<{T}, {rule}, {every}>", ("weight_decay", *numbers)
    if chain.clips:
        rule, numbers = f"Clipped<{T}, {rule}>", ("clip_norm", *numbers)
    if chain.penalty is not None:
        rule, numbers = f"Penalised<{T}, {rule}>", ("penalty", *numbers)
    return rule, numbers
