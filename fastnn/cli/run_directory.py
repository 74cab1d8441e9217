"""The directory of a run of ``fastnn train``, and what it takes to go on with the run."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from fastnn import CorruptFileError, Sequential
from fastnn.cli.settings import Settings
from fastnn.system.atomic_file import write_atomically

if TYPE_CHECKING:
    from fastnn.picture import Picture

NAME = "fastnn-run"
"""Of the first run; others are ``fastnn-run-2``, ``fastnn-run-3``, ..."""

NETWORK, HISTORY, CURVES = "network.safetensors", "history.json", "curves.png"
CHECKPOINT, SETTINGS = "checkpoint.safetensors", "settings.json"


def new_directory(wanted: Path | None) -> Path:
    """Make a directory for a run: that which is wanted, or else one that is nobody's yet."""
    if wanted is not None:
        if wanted.exists() and not wanted.is_dir():
            raise NotADirectoryError(
                f"{wanted} is a file: --out takes a directory, made if need be"
            )
        wanted.mkdir(parents=True, exist_ok=True)
        return wanted
    for number in itertools.count(1):
        directory = Path(NAME if number == 1 else f"{NAME}-{number}")
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        return directory
    raise AssertionError


def remove_run(directory: Path) -> None:
    """Remove the files of a run, so that none is taken for one of the next run."""
    for name in (NETWORK, HISTORY, CURVES, CHECKPOINT, SETTINGS):
        (directory / name).unlink(missing_ok=True)


def remove_if_empty(directory: Path) -> None:
    """Remove the directory of a run that did not begin."""
    with contextlib.suppress(OSError):
        directory.rmdir()


def load_network(path: Path) -> Sequential:
    """Load a network; another file of a run in its place is told with the one that is meant.

    Raises
    ------
    OSError, CorruptFileError
        See `Sequential.load`.
    """
    try:
        network: Sequential = Sequential.load(path)
    except CorruptFileError as error:
        if path.name == NETWORK:
            raise
        beside = path.parent / NETWORK
        advice = (
            f"the network of this run is {beside}"
            if beside.is_file()
            else f"fastnn train writes a network to {NETWORK}"
        )
        raise CorruptFileError(f"{error}; {advice}") from error
    return network


def write_settings(settings: Settings, directory: Path) -> None:
    """Write what a run was started with to its directory."""
    _write_json(directory / SETTINGS, asdict(settings), "the settings of the run were not written")


def write_history(values: Mapping[str, Any], directory: Path) -> None:
    """Write how the training of a run went to its directory."""
    _write_json(directory / HISTORY, values, "the history of the run was not written")


def write_curves(curves: Picture, directory: Path) -> None:
    """Write the learning curves of a run to its directory."""
    write_atomically(directory / CURVES, curves.png(dpi=120), "the curves were not written")


def _write_json(path: Path, values: Mapping[str, Any], failed: str) -> None:
    write_atomically(path, (json.dumps(values, indent=1) + "\n").encode(), failed)


def read_settings(directory: Path) -> Settings:
    """Read what the run in a directory was started with.

    Raises
    ------
    ValueError
        If there is no run that can be gone on with.
    NotADirectoryError
        If it is a file.
    """
    if directory.is_file():
        raise NotADirectoryError(
            f"{directory} is a file: --resume takes the directory of a run, such as "
            f"{directory.parent}"
        )
    missing = [name for name in (SETTINGS, CHECKPOINT) if not (directory / name).is_file()]
    if missing:
        raise ValueError(
            f"{directory} holds no run to go on with: there is no {' and no '.join(missing)}"
        )
    try:
        stored = json.loads((directory / SETTINGS).read_text("utf-8"))
        kinds = get_type_hints(Settings)
        if not isinstance(stored, dict):
            raise ValueError(f"it holds {stored!r}, expected names and values")
        if set(stored) != set(kinds):
            raise ValueError(f"it has the names {sorted(stored)}, expected {sorted(kinds)}")
        for name, kind in kinds.items():
            value = stored[name]
            whole = type(value) is int and isinstance(0.0, kind)  # 1 is a number, too
            if not isinstance(value, kind) and not whole:
                raise ValueError(f"{name} is {value!r}, expected {getattr(kind, '__name__', kind)}")
        return Settings(**stored)
    except ValueError as error:
        raise ValueError(f"{directory / SETTINGS} is damaged: {error}") from error
