"""The epochs of a training as a table on disk, a line each."""

from __future__ import annotations

import csv
from os import PathLike

from fastnn.checks import check_file_path
from fastnn.system.atomic_file import check_directory_of
from fastnn.training.callbacks import LOOKS, Callback
from fastnn.training.state import Training


class CSVLogger(Callback):
    """Writes ``history.by_epoch()`` to a CSV file, line by line as the epochs end.

    An existing file is overwritten. Of a training that is resumed, the lines of the epochs before
    are written anew.

    Parameters
    ----------
    path : path
        The file.

    Raises
    ------
    TypeError, ValueError
        If `path` is no path.
    IsADirectoryError
        If it is a directory.
    OSError
        Of `fit`, if the file cannot be written. The network holds whole steps then.
    """

    _turn = LOOKS

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = check_file_path(path, "path", such_as="training.csv")
        self._written = 0

    def __repr__(self) -> str:
        return f"CSVLogger({str(self.path)!r})"

    def _check(self, training: Training) -> None:
        check_directory_of(self.path, "the table was not written")

    def on_train_begin(self, training: Training) -> None:
        """Begin the file."""
        self.path.write_text("", encoding="utf-8")
        self._written = 0
        self._write(training)

    def on_epoch_end(self, training: Training) -> None:
        """Write a line."""
        self._write(training)

    def _write(self, training: Training) -> None:
        """Write the epochs that have ended since the last line."""
        history = training.history
        if history.epochs == self._written:
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            for epoch in range(self._written + 1, history.epochs + 1):
                values = history.of_epoch(epoch)
                if epoch == 1:
                    writer.writerow(["epoch", *values])
                writer.writerow([epoch, *values.values()])
        self._written = history.epochs
