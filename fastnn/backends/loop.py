"""What runs a step plan, and the loop over its steps: what every backend can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fastnn.backends.base import Array, Backend
    from fastnn.backends.stop import Stop
    from fastnn.plan import Step, StepPlan


class Runner(Protocol):
    """A compiled step plan. Its parameters are those of the plan, or forms of its own of them."""

    def run(
        self, rows: Array, hyperparameters: Mapping[str, float], stop: Stop | None = None
    ) -> Array:
        """Take one training step for each row of `rows`, and return their losses.

        Parameters
        ----------
        rows : array (steps, batch), int64
            Which samples of the data set make each batch; at most ``plan.batch_size`` of them.
        hyperparameters : mapping
            What the optimizer's steps read, such as ``lr``.
        stop : Stop, optional
            When it is requested the step that is under way is the last. One is taken at least.

        Returns
        -------
        array (steps taken,)
            The mean loss of each batch before its update, on the device; not used again.
        """

    def flush(self) -> None:
        """Make the plan's parameters whole: somebody looks at the network."""

    def reload(self) -> None:
        """Read the plan's parameters again: somebody may have changed them."""

    def counter(self, held_out: tuple[Array, Array] | None = None) -> Callable[[], int] | None:
        """Give what counts the right answers of the network as it is between two calls of `run`.

        Parameters
        ----------
        held_out : tuple of arrays (K, ...) and (K,), optional
            Inputs and labels, finite and in range; by default the data set of the plan.

        Returns
        -------
        callable, or None
            Counts what `Backend.count_correct` counts for the network's scores, which may differ by
            rounding. None if the network itself is as fast, as it is by default.
        """
        return None


class Loop(Runner):
    """Call one primitive after the other, over buffers that are allocated once."""

    def __init__(self, backend: Backend, plan: StepPlan) -> None:
        self.backend = backend
        self.plan = plan
        self.buffers = plan.allocate(backend)
        self.lasting = plan.arrays.keys() | self.buffers.keys()

    def run(
        self, rows: Array, hyperparameters: Mapping[str, float], stop: Stop | None = None
    ) -> Array:
        """See `Runner.run`."""
        steps, batch = rows.shape
        arrays = {**self.plan.arrays, **self._leading(batch)}
        calls = [self._bind(step, arrays, hyperparameters) for step in self.plan.steps]
        losses = self.backend.empty((steps,), self.plan.dtype)
        for i in range(steps):
            arrays["rows"] = rows[i, :]
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
        self, step: Step, arrays: dict[str, Array], hyperparameters: Mapping[str, float]
    ) -> Callable[[], None]:
        options: dict[str, Any] = dict(step.options)
        options.update({name: hyperparameters[name] for name in step.hyperparameters})
        out = tuple(arrays.get(name) for name in step.writes)
        if not step.in_place and any(buffer is not None for buffer in out):
            options["out"] = out if len(out) > 1 else out[0]
        function = step.call or getattr(self.backend, step.primitive)
        reads, writes = step.reads, step.writes
        if all(name in self.lasting for name in (*reads, *writes)):
            return partial(function, *[arrays[name] for name in reads], **options)

        def call_for_one() -> None:
            arrays[writes[0]] = function(*[arrays[name] for name in reads], **options)

        def call_for_several() -> None:
            results = function(*[arrays[name] for name in reads], **options)
            arrays.update(zip(writes, results, strict=True))

        return call_for_one if len(writes) == 1 else call_for_several
