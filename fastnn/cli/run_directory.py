"""The directory of a run of ``fastnn train``, and what it takes to go on with the run."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import asdict
from pathlib import Path
from typing import get_type_hints

from fastnn.cli.settings import Settings

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


def write_settings(settings: Settings, directory: Path) -> None:
    """Write what a run was started with to its directory."""
    (directory / SETTINGS).write_text(json.dumps(asdict(settings), indent=1) + "\n", "utf-8")


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
