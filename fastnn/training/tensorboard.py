"""Curves that TensorBoard shows while a network is trained."""

from __future__ import annotations

import time
from os import PathLike
from typing import Any

from fastnn.checks import check_count, check_path
from fastnn.extras import brought_by
from fastnn.training.callbacks import LOOKS, Callback
from fastnn.training.state import Training


class TensorBoard(Callback):
    """Writes losses, accuracies and samples a second for ``tensorboard --logdir directory``.

    All are over the steps taken. They are written after each epoch.

    Parameters
    ----------
    directory : path
        Where; made if it is not there. Use another one for each training that is to have a curve of
        its own.
    steps : int, optional
        Of the losses of single steps each `steps`-th is written, as "step/loss"; None for none.

    Raises
    ------
    ImportError
        If tensorboardX is not installed, the extra ``tensorboard``.
    TypeError, ValueError
        If `directory` is no path, or `steps` no integer from 1 on.
    """

    _turn = LOOKS

    def __init__(self, directory: str | PathLike[str], *, steps: int | None = 10) -> None:
        with brought_by("tensorboard", "tensorboardX", "TensorBoard needs tensorboardX"):
            from tensorboardX import SummaryWriter
        self._make_writer = SummaryWriter
        self.directory = str(check_path(directory, "directory", such_as="runs/first"))
        self.steps = None if steps is None else check_count(steps, "steps")
        self._writer: Any = None
        self._seen = (0, 0)

    def __repr__(self) -> str:
        return f"TensorBoard({self.directory!r}, steps={self.steps})"

    def on_train_begin(self, training: Training) -> None:
        """Open the file; what another process wrote of later steps is not shown."""
        self._close()
        self._seen = training.step, training.history.samples
        purged = training.step + 1 if training.step else None
        # Files are named after the second: one of another process is not to be overwritten.
        suffix = f".{time.time_ns()}"
        self._writer = self._make_writer(self.directory, purge_step=purged, filename_suffix=suffix)

    def on_epoch_end(self, training: Training) -> None:
        """Write what is new."""
        history, (step, samples) = training.history, self._seen
        self._seen = training.step, history.samples
        for number, loss in enumerate(history.losses[step:], step + 1):
            if self.steps is not None and number % self.steps == 0:
                self._writer.add_scalar("step/loss", loss, number)
        values = history.of_epoch(history.epochs)
        seconds = values.pop("seconds")
        if seconds > 0:
            values["samples_per_second"] = (history.samples - samples) / seconds
        for name, value in values.items():
            self._writer.add_scalar(f"epoch/{name}", value, training.step)
        self._writer.flush()

    def on_train_end(self, training: Training) -> None:
        """Close the file."""
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
