"""The command line in this process, and a small data set for it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from fastnn.backends import selection
from fastnn.cli import app

APART: dict[str, Any] = (
    {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
)
"""What has a runner keep standard error apart, which it does by itself from Click 8.2 on."""


def run(*arguments: object, status: int = 0) -> Any:
    """Run ``fastnn`` with these arguments; what is raised is raised here."""
    before = selection._active.set(selection._active.get(None))  # type: ignore[arg-type]
    try:
        result = CliRunner(**APART).invoke(app, [str(argument) for argument in arguments])
    finally:
        selection._active.reset(before)
    if result.exit_code != status and result.exception is not None:
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def write_letters(place: Path) -> None:
    """Write a data set in MNIST's format: 4 x 3 pixels, three classes that differ in a row."""
    rng = np.random.default_rng(0)
    place.mkdir()
    for half, samples in (("train", 60), ("t10k", 20)):
        t = rng.integers(0, 3, samples).astype("uint8")
        x = rng.integers(0, 60, (samples, 4, 3)).astype("uint8")
        x[np.arange(samples), t] += 190
        for kind, array in (("images-idx3", x), ("labels-idx1", t)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (place / f"{half}-{kind}-ubyte").write_bytes(header + array.tobytes())
