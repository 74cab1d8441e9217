"""To stop when a network no longer gets better, and to give the best one back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.checks import check_count, check_flag, check_rate
from fastnn.nn.saving import restore, saved_form
from fastnn.nn.storage import SavedNetwork, description_of, saved_as_described
from fastnn.training.callbacks import LOOKS, Callback
from fastnn.training.history import EVALUATED
from fastnn.training.state import Training
from fastnn.wording import did_you_mean, shown


class EarlyStopping(Callback):
    """Ends a training when what it monitors has not improved for some epochs.

    Parameters
    ----------
    patience : int, optional
        How many epochs without improvement end the training.
    restore_best : bool, optional
        Whether the network is given its best parameters back when the training ends, however it
        ends but by an error; with them the state of its layers.
    monitor : str, optional
        A column of ``history.by_epoch()``: "validation_accuracy", "train_accuracy", "loss", ...
        By default the first that there is of "validation_loss", "validation_accuracy" and
        "validation_score".
    min_delta : float, optional
        By more than what it must improve.

    Attributes
    ----------
    best : float
        The best value; NaN before the first. A value that is NaN is never better.
    best_epoch : int
        The epoch that had it, from 1; 0 before the first.
    waited : int
        Epochs since then.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these. `fit` raises a ValueError before the first step if what is
        monitored will not be there.

    Examples
    --------
    >>> stop = fastnn.EarlyStopping(patience=5)
    >>> fastnn.fit(network, x, t, epochs=200, validation=(x_test, t_test), callbacks=[stop])
    """

    _turn = LOOKS

    def __init__(
        self,
        patience: int = 5,
        restore_best: bool = True,
        *,
        monitor: str | None = None,
        min_delta: float = 0.0,
    ) -> None:
        self.patience = check_count(patience, "patience")
        self.restore_best = check_flag(restore_best, "restore_best")
        self.monitor = monitor
        self.min_delta = check_rate(min_delta, "min_delta")
        self._forget()

    def __repr__(self) -> str:
        return (
            f"EarlyStopping(patience={self.patience}, restore_best={self.restore_best}, "
            f"monitor={self.monitor!r}, min_delta={self.min_delta:g})"
        )

    def _forget(self) -> None:
        self.best, self.best_epoch, self.waited = math.nan, 0, 0
        self._network: SavedNetwork | None = None

    def _check(self, training: Training) -> None:
        self._monitored(training)

    def on_train_begin(self, training: Training) -> None:
        """Forget a training before."""
        if training.history.epochs == 0:
            self._forget()

    def on_epoch_end(self, training: Training) -> bool:
        """Give whether to end."""
        monitored = self._monitored(training)
        value = training.history.of_epoch(training.history.epochs).get(monitored, math.nan)
        sign = -1 if monitored.endswith("loss") else 1
        if math.isfinite(value) and not sign * (value - self.best) <= self.min_delta:
            self.best, self.best_epoch, self.waited = value, training.history.epochs, 0
            if self.restore_best:
                self._network = _kept(saved_form(training.network))
        else:
            self.waited += 1
        return self.waited >= self.patience

    def on_train_end(self, training: Training) -> None:
        """Give the network its best parameters."""
        if self._network is not None:
            restore(training.network, self._network)

    def state_dict(self) -> dict[str, Any]:
        """See `Callback.state_dict`."""
        state = {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}
        if self._network is None:
            return state
        arrays = {f"network:{name}": array for name, array in self._network.arrays.items()}
        return {**state, "network": description_of(self._network), **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Callback.load_state_dict`."""
        self.best, self.best_epoch = float(state["best"]), int(state["best_epoch"])
        self.waited = int(state["waited"])
        arrays = {
            name.removeprefix("network:"): array
            for name, array in state.items()
            if name.startswith("network:")
        }
        self._network = saved_as_described(arrays, state["network"]) if "network" in state else None

    def _monitored(self, training: Training) -> str:
        """Name what is monitored.

        Raises
        ------
        ValueError
            If it will not be there.
        """
        measured = {"accuracy": ("accuracy",), "R2": ("score",), None: ()}[training.measure]
        there = ["loss"]
        if training.validated:
            names = [name for name in EVALUATED if name.endswith((*measured, "loss"))]
            there += [name for name in names if training.samples or not name.startswith("train")]
        names = [self.monitor] if self.monitor is not None else VALIDATED
        found = next((name for name in names if name in there), None)
        if found is None:
            asked = "validation data" if self.monitor is None else shown(self.monitor)
            remedy = (
                ": choose another monitor"
                if training.validated
                else ": call fit with validation=(x, t), or with validation_split=0.1, which holds "
                "the last tenth of the samples out; or choose another monitor"
            )
            meant = "" if self.monitor is None else did_you_mean(self.monitor, there)
            raise ValueError(
                f"EarlyStopping monitors {asked}, and this training has only "
                f"{', '.join(there)}{remedy}{meant}"
            )
        return found


VALIDATED = ["validation_loss", "validation_accuracy", "validation_score"]


def _kept(saved: SavedNetwork) -> SavedNetwork:
    """Give a network with arrays of its own."""
    return saved._replace(arrays={name: np.copy(array) for name, array in saved.arrays.items()})
