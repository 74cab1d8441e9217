"""A step plan that the compiled training step runs, many steps in a call, on all threads."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.numba.compression import compress, for_a_kernel
from fastnn.backends.numba.layout import Layout
from fastnn.backends.numba.pace import Pace
from fastnn.backends.numba.team import TooFewThreadsError, run_together, share_out
from fastnn.backends.numba.update import numbers_of, rule_of
from fastnn.backends.plan import Counter, Numbers, Rule, Runner, StepPlan
from fastnn.backends.sparse_rows import SparseRows
from fastnn.backends.stages import stages_of
from fastnn.backends.stop import Stop
from fastnn.kernels.cpu import (
    barrier,
    by_feature,
    compressed,
    evaluation,
    losses_in_strips,
    net,
    step_dense,
    step_sparse,
    strips,
)
from fastnn.kernels.cpu.machine_code.compiling import seconds_compiling
from fastnn.threads import get_num_threads

SPARSE_UP_TO = {"fast products": 0.3, "others": 0.45}
"""Fraction of inputs that are not zero up to which skipping the others is faster; docs/cpu.md."""

OPERATIONS_OF_A_THREAD = 1e6
"""Multiplications and additions of a step for which a thread is worth waking; some 10 us."""

BY_FEATURE_FROM = 6
"""Strips of the first layer for which sorting a batch by features is made up for."""

AWAY_SECONDS = 2e-3
"""How long this thread may be in compiled code, where it handles no signal, if one may come.

To hand the work to another thread and to wait for it takes some 20 us."""

ROWS_FOR_DENSITY = 256
"""Rows of the data set from which the fraction of inputs that are not zero is estimated."""


class CompiledStep(Runner):
    """Runs steps of Affine layers and activations as a whole; see `fastnn.backends.plan.Runner`.

    While it trains, the parameters live in the strips of a `Layout`. They are the plan's own
    arrays again after `flush`.
    """

    def __init__(self, plan: StepPlan) -> None:
        self.plan = plan
        layers = stages_of(plan.chain.blocks)
        self.x = rows_for_a_kernel(plan.arrays["x_data"])
        assert isinstance(plan.chain.loss, str)
        self.loss = losses_in_strips.BY_NAME[plan.chain.loss]
        self.labels = for_a_kernel(plan.arrays["t_data"]).reshape(-1)
        weights = plan.arrays.get("w_data")
        self.weights = None if weights is None else for_a_kernel(weights)
        sizes = [self.x.shape[1], *[layer.affine.units for layer in layers]]
        of_features = density_of_features(self.x)
        density = float(of_features.mean())
        self.threads = threads_for(sizes, plan.batch_size, density)
        self.pace = Pace(self.threads)
        self.compressed = is_compressed(self.x, density, sizes[1])
        dtype = np.dtype(plan.dtype)
        assert isinstance(plan.chain.update, Rule)
        self.rule = rule_of(plan.chain, dtype)
        self.layout = layout = Layout(
            layers,
            dtype,
            plan.batch_size,
            self.threads,
            sizes,
            not self.compressed,
            plan.chain.update.state,
            plan.chain.clips,
        )
        self.block_starts = layout.block_starts(of_features)
        self.scale = layout.dtype.type(plan.scale)
        if self.compressed:
            self.data = compress(self.x, self.block_starts, self.scale)
            self.room = room_for_sorting(self.data, layout)
            stride = layout.groups * layout.blocks + 1
            self.bounds = np.zeros((self.threads, 2, plan.batch_size * stride), np.int64)
            self.norms = np.full(layout.groups * layout.records["strip_count"][0], np.inf)
            del self.x
        else:
            self.x = for_a_kernel(plan.arrays["x_data"]).reshape(-1)
        widths = layout.records["strip_width"]
        self.form = net.Form(
            strips.kinds_of(widths[:1]),
            strips.kinds_of(widths[: max(1, len(widths) - 1)]),
            strips.kinds_of(widths[min(1, len(widths) - 1) :]),
            net.Whole() if layout.groups == 1 else net.Split(),
        )
        self.width = self.form.first
        self.give_way = barrier.address_of_give_way()
        self.rooms: list[tuple[Array, Array]] = []
        self.reload()

    def run(
        self, rows: Array, hyperparameters: Mapping[str, Numbers], stop: Stop | None = None
    ) -> Array:
        """See `Runner.run`."""
        rows = np.ascontiguousarray(rows, np.int64)
        if rows.shape[1] > self.layout.batch_size:
            raise ValueError(
                f"batches have {rows.shape[1]} samples, and the step was compiled for at most "
                f"{self.layout.batch_size}"
            )
        losses = np.empty(len(rows), self.plan.dtype)
        numbers = numbers_of(
            self.rule, self.plan.chain, hyperparameters, len(rows), self.layout.dtype
        )
        done = 0
        while done < len(rows):
            threads, steps = self.pace.next()
            end = len(rows) if steps is None else min(done + steps, len(rows))
            piece = slice(done, end)
            run = net.Run(
                rows[piece], self._loss_of_samples(), self.rule, numbers[piece], losses[piece]
            )
            done += self._run_together(run, threads, stop)
            if done < end or (stop is not None and stop.requested):
                break
        return losses[:done]

    def _loss_of_samples(self) -> Any:
        """Give the loss as kernels take it, with the targets and weights of all samples."""
        loss = self.loss(self.labels)
        return loss if self.weights is None else losses_in_strips.Weighted(loss, self.weights)

    def _run_together(self, run: net.Run, threads: int, stop: Stop | None) -> int:
        """Take the steps of a run on so many threads; give how many were taken."""
        place, taken = np.zeros(barrier.SIZE, np.int64), [0] * threads
        if stop is not None:
            stop.tell(place[barrier.REQUESTED :])
        seconds = self.pace.seconds * len(run.rows)
        may_be_stopped = stop is not None and stop.signal_may_request
        here = not may_be_stopped or seconds < AWAY_SECONDS

        def job(thread: int) -> None:
            team = net.Team(thread, threads, place, self.give_way)
            taken[thread] = self.take_part(team, run)

        began = time.perf_counter() - seconds_compiling()
        while True:
            try:
                run_together(job, threads, lambda: barrier.abort(place), here=here)
                break
            except TooFewThreadsError as error:  # with fewer the bits are the same
                threads, here = error.threads, True
                self.pace.allow(threads)
        spent = time.perf_counter() - seconds_compiling() - began
        self.pace.took(threads, spent / taken[0])
        return taken[0]

    def take_part(self, team: net.Team, run: net.Run) -> int:
        """Do a thread's part of the steps of a run; give how many were taken."""
        network = self._network(self.layout.records, self.layout.shape, self.layout.dropout)
        if not self.compressed:
            data = step_dense.Dense(self.x, self.scale)
            return int(step_dense.train(self.width, network, team, data, run))
        own = step_sparse.Workspace(
            self.norms, self.room if self.room.starts.size else None, self.bounds[team.thread]
        )
        return int(step_sparse.train(self.width, network, team, self.data, own, run))

    def _network(self, records: Array, shape: Array, dropout: Any) -> net.Net:
        """Give the network as kernels take it, with what is where `records` and `shape` say."""
        layout = self.layout
        return net.Net(
            layout.memory,
            records,
            shape[()],
            self.block_starts,
            layout.activations,
            layout.normalisations,
            dropout,
            self.form,
        )

    def flush(self) -> None:
        """See `Runner.flush`."""
        self.layout.save(self.plan.arrays)

    def reload(self) -> None:
        """See `Runner.reload`."""
        self.layout.load(self.plan.arrays)
        if self.compressed:
            self.norms[:] = np.inf

    def renew(self, samples: int) -> None:
        """See `Runner.renew`. Where the features are cut, and whether zeros are skipped, stays."""
        arrays = {
            name: for_a_kernel(array[:samples])
            for name, array in self.plan.arrays.items()
            if name in ("x_data", "t_data", "w_data")
        }
        self.labels, self.weights = arrays["t_data"].reshape(-1), arrays.get("w_data")
        if self.compressed:
            self.data = compress(arrays["x_data"], self.block_starts, self.scale)
            self.room = room_for_sorting(self.data, self.layout)
        else:
            self.x = arrays["x_data"].reshape(-1)

    def counter(self, held_out: tuple[Array, Array] | None = None) -> Counter | None:
        """See `Runner.counter`: from compressed data, which the data set is already.

        Labels are those of classes; of several labels a sample the network counts, and where layers
        are normalised, which is computed otherwise in evaluation.
        """
        of_classes = self.loss is losses_in_strips.SoftmaxCrossEntropy
        if not (self.compressed and of_classes) or self.layout.normalisations is not None:
            return None
        data, labels = self.data, self.labels
        if held_out is not None:
            x = rows_for_a_kernel(held_out[0])
            density = float(density_of_features(x).mean())
            if not is_compressed(x, density, self.layout.sizes[1]):
                return None
            data, labels = compress(x, self.block_starts, self.scale), for_a_kernel(held_out[1])
        samples, sizes = len(labels), self.layout.sizes
        threads = threads_for(sizes, samples, data.values.size / (samples * sizes[0]))
        if threads > len(self.rooms):
            self.rooms += self.layout.rooms(threads - len(self.rooms))
        return functools.partial(self._count_right, data, labels, threads)

    def _count_right(
        self,
        data: compressed.Compressed,
        labels: Array,
        threads: int,
        losses: Array | None = None,
    ) -> int:
        """Count on so many threads, each over its share of the samples."""
        to = np.empty(0) if losses is None else losses
        samples, counts, dropout = len(labels), [0] * threads, self.layout.dropout
        if dropout is not None:
            dropout = dropout._replace(draws=False)

        def job(thread: int) -> None:
            records, shape = self.rooms[thread]
            network = self._network(records, shape, dropout)
            norms = np.full(self.norms.size, np.inf)
            rows = np.arange(thread * samples // threads, (thread + 1) * samples // threads)
            bounds = np.empty(int(shape["capacity"]) * len(self.block_starts), np.int64)
            counts[thread] = evaluation.count_right(
                self.width, network, data, labels, rows, norms, bounds, to
            )

        share_out(job, threads)
        return sum(counts)


def rows_for_a_kernel(x: Array | SparseRows) -> Array | SparseRows:
    """Give a data set as (K, D), as `for_a_kernel` does; compressed rows as they are."""
    return x if isinstance(x, SparseRows) else for_a_kernel(x.reshape(len(x), -1))


def density_of_features(x: Array | SparseRows) -> Array:
    """Give the share (D,) of entries that are not zero, of dense rows estimated from some."""
    if isinstance(x, SparseRows):
        return x.density_of_features()
    return (x[:: max(1, len(x) // ROWS_FOR_DENSITY)] != 0).mean(axis=0)


def is_compressed(x: Array | SparseRows, density: float, outputs: int) -> bool:
    """Whether a first layer with so many outputs skips the zeros of a data set."""
    return isinstance(x, SparseRows) or density <= sparse_up_to(outputs)


def sparse_up_to(outputs: int) -> float:
    """Up to which density zeros are skipped in a first layer with so many outputs.

    Dense products gain most by wide registers, and least in a layer of few outputs.
    """
    fast = strips.TILE_BYTES == strips.STRIP_BYTES and outputs > strips.NARROW
    return SPARSE_UP_TO["fast products" if fast else "others"]


def room_for_sorting(data: compressed.Compressed, layout: Layout) -> by_feature.Sorted:
    """Allocate what a step needs to update the first layer feature by feature, if it pays."""
    chunks = -(-layout.batch_size // by_feature.SAMPLES) * layout.sizes[0]
    most = np.max(data.offsets.reshape(len(data.starts), -1)[:, -1])
    entries = layout.batch_size * int(most)
    narrow = layout.records["strip_count"][0] < BY_FEATURE_FROM
    # sort_blocks takes the inputs for one group
    if narrow or layout.groups > 1 or entries > np.iinfo(np.int32).max:
        chunks = entries = 0
    return by_feature.Sorted(
        np.empty((2, chunks), np.int32),
        np.empty((2, chunks), np.int32),
        np.empty((2, entries), np.uint16),
        np.empty((2, entries), layout.dtype),
    )


def threads_for(sizes: list[int], batch_size: int, density: float) -> int:
    """How many threads are worth their meetings in a step of a network of these sizes."""
    weights = [inputs * outputs for inputs, outputs in pairwise(sizes)]
    operations = 2 * batch_size * (2 * density * weights[0] + 3 * sum(weights[1:]))
    return max(1, min(get_num_threads(), int(operations / OPERATIONS_OF_A_THREAD)))
