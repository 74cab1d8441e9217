"""The kinds of files that fastnn writes as safetensors, and what is said where another is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fastnn.errors import CorruptFileError
from fastnn.wording import shortened


class FileKind(NamedTuple):
    """What a kind of file is.

    Attributes
    ----------
    format : str
        The name in the metadata, where all that is no array stands.
    what : str
        What it holds, for messages.
    written_by, read_by : str
        The calls that write it and read it.
    such_as : str
        What a file may be called.
    """

    format: str
    what: str
    written_by: str
    read_by: str
    such_as: str


NETWORK = FileKind(
    "fastnn network 1",
    "a network",
    "network.save(path)",
    "fastnn.Sequential.load(path)",
    "network.safetensors",
)
OPTIMIZER = FileKind(
    "fastnn optimizer 1",
    "the state of an optimizer",
    "optimizer.save(path)",
    "optimizer.load(path)",
    "optimizer.safetensors",
)
CHECKPOINT = FileKind(
    "fastnn checkpoint 1",
    "a checkpoint of a training",
    "fastnn.Checkpoint(path), a callback of fit,",
    "fastnn.fit(..., resume=path)",
    "training.safetensors",
)
KINDS = (NETWORK, OPTIMIZER, CHECKPOINT)


def no_such_file(kind: FileKind, error: FileNotFoundError) -> FileNotFoundError:
    """Make the error for a file that is not there."""
    return FileNotFoundError(f"{error}: {kind.written_by} writes one")


def a_directory(kind: FileKind, path: Path) -> IsADirectoryError:
    """Make the error for a directory in the place of a file."""
    found = sorted(each.name for each in path.glob("*.safetensors"))
    there = f"; in it are {', '.join(shortened(found))}" if found else ""
    return IsADirectoryError(
        f"{path} is a directory: give the path of a file that {kind.written_by} has written{there}"
    )


def another_kind(kind: FileKind, path: object, formats: Iterable[str]) -> CorruptFileError:
    """Make the error for a safetensors file that does not hold what was asked for."""
    found = next((other for other in KINDS if other.format in formats), None)
    if found is not None:
        return CorruptFileError(
            f"{path} holds {found.what}, and not {kind.what}: {found.read_by} reads it"
        )
    return CorruptFileError(f"{path} is a safetensors file, but holds no {kind.format!r}")
