"""The update of a chain as the last kernels of the fused step, and the numbers that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.cupy.passes import Launch, Passes
from fastnn.backends.plan import Numbers, StepPlan
from fastnn.backends.stages import Stage
from fastnn.kernels.cuda.rows import row_type
from fastnn.kernels.cuda.weights import UpdateWeights


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
        passes: Passes,
        control: Array,
    ) -> None:
        data = plan.arrays["x_data"]
        rows = row_type(plan.dtype, data)
        update = UpdateWeights([None, *passes.h], passes.dout, passes.W, passes.b, rows)
        self.launches: list[Launch] = [
            partial(update, control=control, data=data, scale=plan.scale, losses=passes.losses)
        ]

    def numbers(self, hyperparameters: Mapping[str, Numbers]) -> list[Numbers]:
        """Give the numbers of the rule, as the control block takes them."""
        return [hyperparameters["lr"]]
