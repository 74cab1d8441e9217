"""A training on batches as they come; see `fastnn.training.batches`."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.loop import Loop
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.sequential import Sequential
from fastnn.training.batch_feed import BatchFeed, Chunk
from fastnn.training.interruption import Interruption
from fastnn.training.layer_state import LayerState
from fastnn.training.planner import plan_over
from fastnn.training.rounds import Rounds
from fastnn.training.session import Session
from fastnn.training.standstill import StandstillCheck


class StreamedSession(Session):
    """A `Session` whose data set is a chunk of batches, and another one soon after.

    Its order is that in which the batches come, and the order that it is given has no samples.
    There is no accuracy of the training data, which are gone when an epoch is over.
    """

    def __init__(
        self, network: Sequential, feed: BatchFeed, optimizer: Optimizer, scale: float
    ) -> None:
        super().__init__(
            network, feed.rooms[0], feed.rooms[1], optimizer, feed.batch_size, scale,
            feed.rooms[2] if len(feed.rooms) > 2 else None,
        )  # fmt: skip
        self.samples, self.batches = 0, feed
        self._first_chunk, self._left_out = True, 0

    def standstill(self) -> StandstillCheck:
        """Make the check whether training stands still, by the samples of the first batch.

        Where nobody knows how many batches an epoch has, there is never one to look back at.
        """
        steps = self.batches.steps or sys.maxsize
        return StandstillCheck(self.network, self.batches.first[0], self.scale, steps)

    def _own_evaluation(self) -> None:
        """Give nothing: the training data are gone."""

    def _counter(self, held_out: tuple[Array, Array]) -> None:
        """Give nothing: the runner counts beside a data set that stays."""

    def _chunks(
        self, order: np.ndarray[Any, Any], rounds: Rounds, interruption: Interruption
    ) -> Generator[tuple[Array, int], None, None]:
        """Give the rows of batches of one size, as they arrive.

        Of an epoch that a checkpoint was taken in, the batches that have been trained on are left
        out.
        """

        def ends() -> bool:
            return interruption.requested or rounds.training.ended

        behind, self._left_out = rounds.training.steps_in_epoch, 0
        with closing(self.batches.chunks(interruption.call, ends)) as chunks:
            for chunk in chunks:
                done = min(behind, len(chunk.sizes))
                behind -= done
                self._left_out += sum(chunk.sizes[:done])
                self._train_on(chunk)
                for begin, end, size in chunk.runs(done):
                    yield self.backend.asarray(np.arange(begin, end)), size

    def _samples_of_epoch(self, order: np.ndarray[Any, Any]) -> int | None:
        samples = self.batches.samples
        return None if samples is None else samples - self._left_out

    def _train_on(self, chunk: Chunk) -> None:
        """Let the runner train on the rows of a chunk, over other arrays if there are any."""
        if chunk.grown:
            self._plan_anew()
        if chunk.grown or not self._first_chunk:
            self.runner.renew(chunk.samples)
        self._first_chunk = False
        assert max(chunk.sizes) <= self.plan.batch_size, "a batch beyond the plan's buffers"

    def _plan_anew(self) -> None:
        """Go on with a plan over the rooms that there are now, for batches of the largest size."""
        with self.network._network_lock.alone:
            self.runner.flush()
            names, rooms = ("x_data", "t_data", "w_data"), list(self.batches.rooms)
            axes = self.plan.arrays["x_data"].shape[1:]
            rooms[0] = self.backend.xp.reshape(rooms[0], (-1, *axes))
            data = dict(zip(names, rooms, strict=False))
            self.plan = plan_over(self.plan, data, self.batches.batch_size)
            self.batch_size = self.batches.batch_size
            self.layer_state = LayerState(self.network, self.plan)
            self.runner = self.backend.compile(self.plan) or Loop(self.backend, self.plan)
