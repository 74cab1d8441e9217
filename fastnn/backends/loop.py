"""The loop over the steps of a plan: the runner that every engine can fall back on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.backends.plan import Numbers, Runner, Step, StepPlan
from fastnn.backends.stop import Stop


class Loop(Runner):
    """Call one primitive after the other, over buffers that are allocated once."""

    def __init__(self, backend: Backend, plan: StepPlan) -> None:
        self.backend = backend
        self.plan = plan
        self.buffers = {name: backend.empty(*shape) for name, shape in plan.shapes.items()}
        self.numbers = {name for step in plan.steps for name in step.hyperparameters}
        self.lasting = plan.arrays.keys() | self.buffers.keys()

    def run(
        self, rows: Array, hyperparameters: Mapping[str, Numbers], stop: Stop | None = None
    ) -> Array:
        """See `Runner.run`."""
        steps, batch = rows.shape
        arrays = {**self.plan.arrays, **self._leading(batch)}
        numbers = {
            name: np.broadcast_to(values, steps).tolist()
            for name, values in hyperparameters.items()
            if name in self.numbers
        }
        now: dict[str, float] = {}
        calls = [self._bind(step, arrays, now) for step in self.plan.steps]
        losses = self.backend.empty((steps,), self.plan.dtype)
        for i in range(steps):
            arrays["rows"] = rows[i, :]
            now.update((name, values[i]) for name, values in numbers.items())
            for call in calls:
                call()
            losses[i] = arrays["loss"]
            if stop is not None and stop.requested:
                return losses[: i + 1]
        return losses

    def flush(self) -> None:
        """See `Runner.flush`: the loop works on the plan's own parameters."""

    def reload(self) -> None:
        """See `Runner.reload`."""

    def _leading(self, batch: int) -> dict[str, Array]:
        per_sample = self.plan.per_sample
        return {
            name: buffer[:batch, ...] if name in per_sample else buffer
            for name, buffer in self.buffers.items()
        }

    def _bind(
        self, step: Step, arrays: dict[str, Array], now: Mapping[str, Any]
    ) -> Callable[[], None]:
        """Make a call of a step; it reads the hyperparameters from `now` when it is made."""
        options: dict[str, Any] = dict(step.options)
        out = tuple(arrays.get(name) for name in step.writes)
        if not step.in_place and any(buffer is not None for buffer in out):
            options["out"] = out if len(out) > 1 else out[0]
        function = step.call or getattr(self.backend, step.primitive)
        reads, writes = step.reads, step.writes
        if step.hyperparameters:

            def call_with_numbers() -> None:
                numbers = {name: now[name] for name in step.hyperparameters}
                function(*[arrays[name] for name in reads], **options, **numbers)

            return call_with_numbers
        if all(name in self.lasting for name in (*reads, *writes)):
            return partial(function, *[arrays[name] for name in reads], **options)

        def call_for_one() -> None:
            arrays[writes[0]] = function(*[arrays[name] for name in reads], **options)

        def call_for_several() -> None:
            results = function(*[arrays[name] for name in reads], **options)
            arrays.update(zip(writes, results, strict=True))

        return call_for_one if len(writes) == 1 else call_for_several
