"""Epochs of a network in an order that somebody else draws, by the step plan of `fastnn.fit`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnn.nn.sequential import Sequential
from fastnn.sklearn.solvers import Solver
from fastnn.training.arguments import check_batches
from fastnn.training.data import data_set, weights_of
from fastnn.training.history import History, LossQueue
from fastnn.training.interruption import Interruption, defer_interruption
from fastnn.training.rounds import Rounds
from fastnn.training.session import Session
from fastnn.training.state import Training


class Epochs:
    """A training under way: call it once for each epoch.

    Attributes
    ----------
    network : Sequential
        Holds the parameters between two epochs.
    """

    def __init__(
        self,
        session: Session,
        solver: Solver,
        interruption: Interruption,
        weights: np.ndarray[Any, Any],
    ) -> None:
        self._weights = weights
        self.network = session.network
        self._session, self._solver, self._interruption = session, solver, interruption
        self._history = History()
        training = Training(
            session.network, solver, self._history, epochs=1, batch_size=session.batch_size,
            samples=session.samples, scale=session.scale, sample_shape=session.data.shape[1:],
            data_dtype=session.dtype,
            validated=False, weighted=False, order=np.random.default_rng(0),
        )  # fmt: skip
        self._rounds = Rounds((), training, interruption)
        self._queue = LossQueue(self.network.backend, self._history, None)
        self._starts = np.arange(0, session.samples, session.batch_size)
        self._sizes = np.minimum(session.batch_size, session.samples - self._starts)

    def __call__(self, order: np.ndarray[Any, Any]) -> float:
        """Train on every sample once, in an order (K,) of row numbers.

        Returns
        -------
        float
            The mean of the losses of the batches before their updates, each weighted by its
            samples, with the L2 term.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C has cut the epoch short.
        """
        self._solver.begin_epoch(np.add.reduceat(self._weights[order], self._starts))
        self._queue.resume()
        self._session.epoch(order, self._rounds, self._queue, self._interruption)
        self._queue.flush()
        if self._interruption.requested:
            raise KeyboardInterrupt
        losses = np.array(self._history.losses[-len(self._sizes) :])
        with np.errstate(over="ignore", invalid="ignore"):  # the loss shows that it diverged
            return float(losses @ self._sizes) / self._session.samples


@contextmanager
def epochs_of(
    network: Sequential, X: Any, y: Any, sample_weight: Any, solver: Solver, batch_size: int
) -> Iterator[Epochs]:
    """Train a network within the ``with`` statement.

    Parameters
    ----------
    network : Sequential
    X : array (K, D)
    y : array (K,) or (K, C)
    sample_weight : array (K,) or None
    solver : Solver
        Has what its rule remembers when the statement ends.
    batch_size : int
    """
    with network._network_lock.training(), network.backend.current():
        data, targets = data_set(network, X, y)
        check_batches(network, int(data.shape[0]), batch_size)
        weights, differ = np.ones(int(data.shape[0])), None
        if sample_weight is not None:
            weights = np.asarray(sample_weight, np.float64)
            checked = weights_of(network, data, weights)
            differ = checked if np.ptp(weights) else None  # the same for all: their mean is 1
        session = Session(network, data, targets, solver, batch_size, 1.0, differ)
        with defer_interruption() as interruption:
            try:
                yield Epochs(session, solver, interruption, weights)
            finally:
                session.hand_over_state()
