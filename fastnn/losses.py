"""Losses on their way from the device, and how much to queue between two looks at them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnn.backends.base import Array, Backend
    from fastnn.history import History

LOOK_SECONDS = 0.1
"""How long training runs on its own before losses are brought to the host and the bar is told."""


class LossWatch:
    """Brings losses into a history, at most ten times a second once it knows the pace.

    A look waits for the device. So the losses of steps that are queued stay there until enough of
    them have come together, also from one epoch to the next; `steps_at_once` is how many are
    queued in the time between two looks, learned by doubling. Its clock stands still while kernels
    are compiled, which is no training: `compiled_before` is what the backend's had cost before.
    """

    def __init__(
        self, backend: Backend, history: History, bar: Any, compiled_before: float | None = None
    ) -> None:
        self.steps_at_once = backend.steps_at_once
        self._backend = backend
        self._history = history
        self._bar = bar
        self._queued: list[tuple[int, int, Array]] = []
        self._steps_queued = 0
        compiled = backend.seconds_compiling()
        self._compiled_before = compiled if compiled_before is None else compiled_before
        self._since = self._now()

    def resume(self) -> None:
        """Start the clock: what was before is not training."""
        if not self._queued:
            self._since = self._now()

    def add(self, losses: Array, batch: int) -> None:
        """Take the losses of steps that were queued, and look if it is time."""
        epoch = len(self._history.epoch_seconds) - 1
        self._queued.append((epoch, batch, losses))
        self._steps_queued += int(losses.shape[0])
        enough = self._steps_queued >= self.steps_at_once
        if enough or self._now() - self._since >= LOOK_SECONDS:
            self.look()

    def look(self) -> None:
        """Bring all losses to the host, and share the time since the last look among epochs."""
        self._history.compile_seconds = self._backend.seconds_compiling() - self._compiled_before
        if not self._queued:
            return
        queued, self._queued, self._steps_queued = self._queued, [], 0
        arrays = [losses for _, _, losses in queued]
        together = arrays[0] if len(arrays) == 1 else self._backend.xp.concat(arrays)
        losses = self._backend.to_numpy(together).tolist()
        now = self._now()
        seconds, self._since = max(0.0, now - self._since), now
        history = self._history
        history.losses += losses
        for epoch, batch, some in queued:
            steps = int(some.shape[0])
            history.samples += steps * batch
            history.epoch_seconds[epoch] += seconds * steps / len(losses)
        self._learn(len(losses), seconds)
        if self._bar is not None:
            self._bar.update(len(losses), losses[-1])

    def _now(self) -> float:
        return time.perf_counter() - self._backend.seconds_compiling()

    def _learn(self, steps: int, seconds: float) -> None:
        if steps >= self.steps_at_once and seconds < LOOK_SECONDS:
            self.steps_at_once *= 2
        elif seconds > 2 * LOOK_SECONDS:
            self.steps_at_once = max(self._backend.steps_at_once, self.steps_at_once // 2)
