"""Which backend, and how many threads, train a given network fastest on this machine.

Every candidate trains through `fastnn.fit`, on real images where the network takes MNIST's, since
how many of the inputs are zero makes a difference. The candidates take turns, round after round,
so that what else goes on in the machine disturbs all of them alike; what counts is the median.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from fastnn.backends.base import Backend
from fastnn.backends.selection import available_backends, load_backend, use_backend
from fastnn.checks import check_count, check_dtype
from fastnn.datasets import load_mnist
from fastnn.diagnostics.busy import busy, first_cores
from fastnn.errors import TrainingWarning
from fastnn.nn.networks import MultiLayerNet
from fastnn.nn.optimizers import SGD
from fastnn.nn.sequential import Sequential
from fastnn.threads import default_num_threads, get_num_threads, set_num_threads
from fastnn.training.fit import fit
from fastnn.training.history import History

MNIST_SHAPE = (60000, 784)

ROUNDS = 7
"""Turns of each candidate, if the time allows."""

PROBE_STEPS = 4
"""Steps that tell how long a turn may be; their time counts if there is none for a turn."""

NEARLY = 1.05
"""Candidates this close are equally fast, and the one with fewer threads is better."""


@dataclass(frozen=True)
class Measurement:
    """How fast a backend trains a network.

    Attributes
    ----------
    backend : str
        Its name.
    threads : int or None
        CPU threads that it was allowed; None on a GPU.
    microseconds : float
        A training step, the median of the rounds.
    fastest, slowest : float
        The same, of the fastest and the slowest round.
    samples_per_second : float
        At the median.
    """

    backend: str
    threads: int | None
    microseconds: float
    fastest: float
    slowest: float
    samples_per_second: float


def measure_backends(
    layers: Sequence[int],
    batch: int = 100,
    dtype: str = "float32",
    *,
    backends: Iterable[str] | None = None,
    seconds: float = 8.0,
    busy_cores: int = 0,
) -> list[Measurement]:
    """Measure a training step of a network on every usable backend and number of threads.

    Parameters
    ----------
    layers : sequence of int
        Features, units of each hidden layer, classes. Networks that take MNIST's 784 features are
        trained on its images, others on random numbers between 0 and 1.
    batch : int, optional
        Samples of a step, at most 60,000.
    dtype : {"float32", "float64"}, optional
        What the network computes in.
    backends : iterable of str, optional
        Which backends; by default all that can run here.
    seconds : float, optional
        About how long to measure. Compiling comes on top where nothing was compiled before, and
        so do two steps of each candidate where these alone take longer.
    busy_cores : int, optional
        How many cores other processes keep busy meanwhile, as on a machine that others use as well.

    Returns
    -------
    list of Measurement
        The fastest first.

    Raises
    ------
    TypeError, ValueError
        If there are fewer than two layers, a size is no positive integer, a name is unknown, or
        more cores are to be busy than there are.
    BackendUnavailableError
        If a backend that was asked for cannot run here.
    """
    sizes = [check_count(size, "layer size") for size in layers]
    if len(sizes) < 2:
        raise ValueError(f"expected features, hidden units, classes, as in 784,50,10, got {sizes}")
    if not seconds >= 0:
        raise ValueError(f"seconds must not be negative, got {seconds}")
    batch, dtype = check_count(batch, "batch"), check_dtype(dtype)
    if batch > MNIST_SHAPE[0]:
        raise ValueError(f"batch is {batch}: at most {MNIST_SHAPE[0]} can be measured")
    cores = first_cores(check_count(busy_cores, "busy_cores", least=0))
    if backends is None:
        backends = [name for name, info in available_backends().items() if info.usable]
    engines = [load_backend(name) for name in backends]
    x, t = _data(sizes, batch, dtype)
    network = MultiLayerNet(sizes[0], sizes[1:-1], sizes[-1], dtype=dtype)
    candidates = [
        _Candidate(engine, threads, network.copy().to(engine), x, t, batch)
        for engine in engines
        for threads in thread_counts(engine)
    ]
    for candidate in candidates:
        candidate.probe()
    with busy(cores):
        if cores:
            for candidate in candidates:
                candidate.probe()
        deadline = time.perf_counter() + seconds
        allowed = seconds / (ROUNDS * len(candidates))
        for _ in range(ROUNDS):
            for candidate in candidates:
                if time.perf_counter() < deadline:
                    candidate.take_turn(allowed)
    return sorted((candidate.measurement() for candidate in candidates), key=_by_time)


def best(measurements: Sequence[Measurement]) -> Measurement:
    """Choose the fastest; of those that are nearly as fast, the one with the fewest threads."""
    limit = NEARLY * min(measurement.microseconds for measurement in measurements)
    near = [measurement for measurement in measurements if measurement.microseconds <= limit]
    return min(near, key=lambda each: (each.threads or 0, each.microseconds))


def thread_counts(backend: Backend) -> list[int | None]:
    """Give the numbers of threads worth trying: 1, 2, 4, ... and the default; on a GPU none."""
    if not backend.on_host:
        return [None]
    cores = default_num_threads()
    return [*(1 << i for i in range(cores.bit_length()) if 1 << i < cores), cores]


@contextmanager
def limited_to(threads: int | None) -> Iterator[None]:
    """Limit the threads of training and of matrix products within a ``with`` statement."""
    if threads is None:
        yield
        return
    before = get_num_threads()
    set_num_threads(threads)
    try:
        yield
    finally:
        set_num_threads(before)


@dataclass
class _Candidate:
    """A backend with a number of threads, and a network of its own to train."""

    backend: Backend
    threads: int | None
    network: Sequential
    x: np.ndarray[Any, Any]
    t: np.ndarray[Any, Any]
    batch: int
    microseconds: list[float] = field(default_factory=list)
    probed: float = 0.0

    def probe(self) -> None:
        """Compile what is compiled, then find out how long a step takes."""
        self.probed = self._train(1)
        if self.probed < 1e6:
            self.probed = self._train(PROBE_STEPS)

    def take_turn(self, seconds: float) -> None:
        """Train for about this long; half of it is to come to speed."""
        steps = int(seconds * 1e6 / self.probed / 2)
        self.microseconds.append(self._train(max(1, steps)))

    def measurement(self) -> Measurement:
        """Summarise the turns."""
        turns = self.microseconds or [self.probed]
        middle = median(turns)
        return Measurement(
            self.backend.name,
            self.threads,
            middle,
            min(turns),
            max(turns),
            self.batch / middle * 1e6,
        )

    def _train(self, steps: int) -> float:
        """Train for two epochs of some steps, and give the microseconds of a step in the second."""
        steps = min(steps, len(self.x) // self.batch)
        samples = steps * self.batch
        times: list[float] = []

        def take_time(network: Sequential, history: History) -> None:
            network.backend.synchronize()
            times.append(time.perf_counter())

        with use_backend(self.backend), limited_to(self.threads), warnings.catch_warnings():
            # It is not to get on: the learning rate leaves the weights where they are.
            warnings.simplefilter("ignore", TrainingWarning)
            history = fit(
                self.network,
                self.x[:samples],
                self.t[:samples],
                epochs=2,
                batch_size=self.batch,
                optimizer=SGD(1e-6),
                callbacks=[take_time],
                progress=False,
            )
        if history.interrupted:
            raise KeyboardInterrupt
        return (times[1] - times[0]) / steps * 1e6


def _data(sizes: Sequence[int], batch: int, dtype: str) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    if sizes[0] == MNIST_SHAPE[1]:
        (x, t), _ = load_mnist()
        return x.astype(dtype, copy=False), t % sizes[-1]
    samples = max(batch, min(MNIST_SHAPE[0], 50_000_000 // sizes[0]))
    x = generator.random((samples, sizes[0]), "float32").astype(dtype, copy=False)
    return x, generator.integers(0, sizes[-1], samples)


def _by_time(measurement: Measurement) -> float:
    return measurement.microseconds
