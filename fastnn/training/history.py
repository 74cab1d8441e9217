"""The losses and times of a training, step by step and epoch by epoch."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.base import Backend
from fastnn.backends.selection import load_backend
from fastnn.extras import brought_by
from fastnn.nn.validation import real_array
from fastnn.training.html_table import html_table

EVALUATED = {
    "validation_loss": "validation_losses",
    "train_accuracy": "train_accuracies",
    "validation_accuracy": "validation_accuracies",
    "train_score": "train_scores",
    "validation_score": "validation_scores",
}
"""What is evaluated after each epoch, and where `History` has it."""


@dataclass(repr=False)
class History:
    """What `fit` saw.

    Attributes
    ----------
    losses : list of float
        Mean loss of each step's batch, before its update.
    train_accuracies, validation_accuracies : list of float
        After each epoch, of the training data and of the validation data; empty without
        `validation`. They are those of ``network.accuracy``, up to samples whose two largest
        scores differ by rounding alone.
    validation_losses : list of float
        After each epoch the mean loss of the validation data, ``network.loss``, penalty included.
    epoch_seconds : list of float
        Seconds of training in each epoch; evaluation, callbacks and compiling aside.
    epoch_steps : list of int
        Steps of each epoch.
    compile_seconds : float
        Seconds that compiling kernels took in all of `fit`; 0 where they were there already.
    epochs : int
        Epochs that were finished.
    samples : int
        Samples that were trained on, all epochs together.
    interrupted : bool
        Whether Ctrl-C ended the training.
    train_scores, validation_scores : list of float
        In the place of the accuracies, of a network that has R2: ``network.score``. Of one that has
        neither, both are empty.
    """

    losses: list[float] = field(default_factory=list)
    train_accuracies: list[float] = field(default_factory=list)
    validation_accuracies: list[float] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    epoch_steps: list[int] = field(default_factory=list)
    compile_seconds: float = 0.0
    epochs: int = 0
    samples: int = 0
    interrupted: bool = False
    train_scores: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds of training; evaluation, callbacks and compiling aside."""
        return math.fsum(self.epoch_seconds)

    @property
    def samples_per_second(self) -> float:
        """Samples trained on in a second; 0 before the first."""
        return self.samples / self.seconds if self.seconds else 0.0

    def results(self, name: str, measure: str) -> list[float]:
        """Give what was evaluated of the "train" or the "validation" data, by a measure."""
        kind = "accuracies" if measure == "accuracy" else "scores"
        found: list[float] = getattr(self, f"{name}_{kind}")
        return found

    def measured(self, name: str) -> dict[str, list[float]]:
        """Give all that was evaluated of the "train" or the "validation" data, by measures."""
        found = {measure: self.results(name, measure) for measure in ("accuracy", "R2")}
        return {measure: values for measure, values in found.items() if values}

    def by_epoch(self) -> dict[str, list[float]]:
        """Give what is known of each epoch, by name.

        Returns
        -------
        dict of str to list of float
            "loss", the mean of the losses of its steps; where there are validation data
            "validation_loss", "train_accuracy" and "validation_accuracy", or "train_score" and
            "validation_score"; "seconds". NaN for what was not evaluated, as of an epoch that was
            interrupted.
        """
        epochs = [self.of_epoch(epoch) for epoch in range(1, len(self.epoch_steps) + 1)]
        names = dict.fromkeys(name for values in epochs for name in values)
        return {name: [values.get(name, math.nan) for values in epochs] for name in names}

    def of_epoch(self, epoch: int) -> dict[str, float]:
        """Give what is known of an epoch, counted from 1, by the names of `by_epoch`."""
        begin = sum(self.epoch_steps[: epoch - 1])
        losses = self.losses[begin : begin + self.epoch_steps[epoch - 1]]
        found = {"loss": math.fsum(losses) / len(losses) if losses else math.nan}
        for name, field_name in EVALUATED.items():
            values = getattr(self, field_name)[epoch - 1 : epoch]
            found.update((name, value) for value in values)
        return {**found, "seconds": self.epoch_seconds[epoch - 1]}

    def to_frame(self) -> Any:
        """Give `by_epoch` as a pandas.DataFrame, whose index is the number of the epoch, from 1.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        with brought_by(
            "pandas", "pandas", "history.to_frame() needs pandas",
            or_else="use history.by_epoch(), a dictionary of lists",
        ):  # fmt: skip
            import pandas
        epochs = pandas.RangeIndex(1, len(self.epoch_steps) + 1, name="epoch")
        return pandas.DataFrame(self.by_epoch(), index=epochs)

    def plot(self, *, title: str = "") -> Any:
        """Draw the loss of each step, and the accuracies or scores of each epoch.

        Where there are neither, it is the validation loss.

        Parameters
        ----------
        title : str, optional
            A line above the picture.

        Returns
        -------
        matplotlib.figure.Figure
            A cell of a notebook that ends in it shows it; ``savefig(path)`` writes it.

        Raises
        ------
        ImportError
            If matplotlib is not installed, the extra ``plot``.
        ValueError
            If no step was taken.
        """
        from fastnn.training.curves import draw_curves

        return draw_curves(self, title=title)

    def as_dict(self) -> dict[str, Any]:
        """Give the history as values for JSON, which has None for a loss that is NaN."""
        derived = {"seconds": self.seconds, "samples_per_second": self.samples_per_second}
        finite = {
            name: [value if math.isfinite(value) else None for value in getattr(self, name)]
            for name in ("losses", "validation_losses", "train_scores", "validation_scores")
        }
        return {**asdict(self), **finite, **derived}

    def __repr__(self) -> str:
        """Say in a few lines how it went, however long it was; `as_dict` gives everything."""
        parts = [self._size()]
        if self.losses:
            parts.append(f"loss from {self.losses[0]:.4g} to {self.losses[-1]:.4g}")
        if self.validation_losses:
            parts.append(f"validation loss {self.validation_losses[-1]:.4g}")
        for name in ("train", "validation"):
            for measure, values in self.measured(name).items():
                parts.append(f"{name} {measure} {values[-1]:.4f}")
        inside = "\n  ".join([*parts, *self._pace()])
        return f"<History: {inside}>"

    def _repr_html_(self) -> str:
        """Give what a notebook shows: of each value that of the first, the best, the last epoch."""
        values = {name: some for name, some in self.by_epoch().items() if name != "seconds"}
        rows = [(name, f"{some[0]:.4g}", _best(name, some), f"{some[-1]:.4g}")
                for name, some in values.items()]  # fmt: skip
        columns = ("", "first epoch", "best epoch", "last epoch")
        return html_table(self._size(), columns, rows, self._pace(), numbers=columns[1:])

    def _size(self) -> str:
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return f"{epochs}, {len(self.losses):,} steps, {self.samples:,} samples"

    def _pace(self) -> list[str]:
        parts = []
        if self.epoch_seconds:
            compiling = f", compiling {self.compile_seconds:.3g} s" if self.compile_seconds else ""
            pace = f"{self.samples_per_second:,.0f} samples a second"
            parts.append(f"{self.seconds:.3g} s{compiling}, {pace}")
        if self.interrupted:
            parts.append("interrupted")
        return parts


def _best(name: str, values: list[float]) -> str:
    """Say which value of all epochs is the best, and of which; nothing where all are NaN."""
    sign = -1 if name.endswith("loss") else 1
    best = max(values, key=lambda value: -math.inf if math.isnan(value) else sign * value)
    return "" if math.isnan(best) else f"{best:.4g} ({values.index(best) + 1})"


SMOOTHED = 11
"""Values that one of a smooth curve is the weighted mean of, as in the book's code."""


def smooth_curve(x: object) -> np.ndarray[Any, Any]:
    """Smooth a curve, such as the losses of a training, for a plot.

    Parameters
    ----------
    x : array_like (K,)
        Values, such as `History.losses`.

    Returns
    -------
    array (K,) of float64
        Each the mean of 11 values, five of them on either side, weighted by a Kaiser window with
        beta 2; at the ends the curve is mirrored, as in the book's code.

    Raises
    ------
    TypeError
        If `x` holds no real numbers.
    ValueError
        If it has not one axis, or no values.
    """
    values = host_array(real_array(x, load_backend("numpy"), "x")).astype("float64")
    if values.ndim != 1 or not values.size:
        raise ValueError(f"x has shape {values.shape}: expected (K,), with one value at least")
    window = np.kaiser(SMOOTHED, 2)
    side = SMOOTHED // 2
    longer = np.pad(np.pad(values, (side, 0), mode="reflect"), (0, side), mode="symmetric")
    return np.convolve(longer, window / window.sum(), mode="valid")


FLUSH_SECONDS = 0.1
"""How long training runs before its losses are copied to the host and shown by the progress bar."""


class LossQueue:
    """Copies queued losses to the host about ten times a second, into a history.

    A copy waits for the device, so losses stay there until enough of them are queued, also across
    epochs. `steps_at_once` is how many steps to queue between two flushes: it is doubled until they
    take a tenth of a second. Time in which kernels are compiled does not count;
    `compiled_before` is how many seconds the backend had spent on that before.
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

    @property
    def steps(self) -> int:
        """Steps taken so far, those that are queued among them."""
        return len(self._history.losses) + self._steps_queued

    def resume(self) -> None:
        """Start the clock: what was before is not training."""
        if not self._queued:
            self._since = self._now()

    def add(self, losses: Array, batch: int) -> None:
        """Queue the losses of some steps, and flush if it is time."""
        epoch = len(self._history.epoch_seconds) - 1
        self._queued.append((epoch, batch, losses))
        self._steps_queued += int(losses.shape[0])
        enough = self._steps_queued >= self.steps_at_once
        if enough or self._now() - self._since >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Copy all losses to the host, and divide the time since the last flush among epochs."""
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
            history.epoch_steps[epoch] += steps
            history.epoch_seconds[epoch] += seconds * steps / len(losses)
        self._learn(len(losses), seconds)
        if self._bar is not None:
            self._bar.update(len(losses), losses[-1])

    def _now(self) -> float:
        return time.perf_counter() - self._backend.seconds_compiling()

    def _learn(self, steps: int, seconds: float) -> None:
        if steps >= self.steps_at_once and seconds < FLUSH_SECONDS:
            self.steps_at_once *= 2
        elif seconds > 2 * FLUSH_SECONDS:
            self.steps_at_once = max(self._backend.steps_at_once, self.steps_at_once // 2)
