"""A training that can be gone on with: `Checkpoint` saves it while it runs."""

from __future__ import annotations

from os import PathLike

from fastnn.checks import check_count, check_file_path
from fastnn.nn.file_kinds import CHECKPOINT
from fastnn.system.atomic_file import check_directory_of
from fastnn.training.callbacks import SAVES, Callback
from fastnn.training.checkpoint_file import write_checkpoint
from fastnn.training.state import Training


class Checkpoint(Callback):
    """Saves a training to a file, from which ``fit(..., resume=path)`` goes on to the same bits.

    The file is replaced when a new one is complete, so that a process may be killed at any moment.
    It is written after all other callbacks have been called, and once more at the end of the
    training, also after Ctrl-C.

    Parameters
    ----------
    path : path
        The file, in the format of safetensors.
    every : int, optional
        After how many epochs.
    steps : int, optional
        Also after each so many steps. That costs what a method `on_step_end` costs, and the file.

    Raises
    ------
    TypeError, ValueError
        If `path` is no path, or a count no integer from 1 on. `fit` raises a TypeError if the
        optimizer has an `update` of its own in the place of a rule, as nobody knows its state.
    IsADirectoryError
        If `path` is a directory.
    OSError
        Of `fit`, if the file cannot be written. The network holds whole steps then.

    Notes
    -----
    The file holds the parameters and the state of the layers, the state and the numbers of the
    optimizer, the generator that draws the batches, the history, and the state of the callbacks.
    It holds no data.

    Examples
    --------
    >>> path = pathlib.Path("training.safetensors")
    >>> fastnn.fit(network, x, t, epochs=100, seed=0, callbacks=[fastnn.Checkpoint(path)],
    ...            resume=path if path.exists() else None)
    """

    _turn = SAVES

    def __init__(
        self, path: str | PathLike[str], every: int = 1, *, steps: int | None = None
    ) -> None:
        self.path = check_file_path(path, "path", such_as=CHECKPOINT.such_as)
        self.every = check_count(every, "every")
        self.every_steps = None if steps is None else check_count(steps, "steps")
        self._saved_at = (-1, -1)

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, every={self.every}, steps={self.every_steps})"

    def _check(self, training: Training) -> None:
        training.optimizer._kind()
        check_directory_of(self.path, "the checkpoint was not saved")

    def on_train_begin(self, training: Training) -> None:
        """Forget a training before."""
        self._saved_at = (-1, -1)

    def on_step_end(self, training: Training) -> None:
        """Save the training."""
        self._save(training)

    def on_epoch_end(self, training: Training) -> None:
        """Save the training."""
        if training.history.epochs % self.every == 0 or training.ended:
            self._save(training)

    def on_train_end(self, training: Training) -> None:
        """Save the training, unless that was done after its last step."""
        if self._saved_at != _moment(training):
            self._save(training)

    def _save(self, training: Training) -> None:
        write_checkpoint(self.path, training)
        self._saved_at = _moment(training)


def _moment(training: Training) -> tuple[int, int]:
    return training.step, training.history.epochs
