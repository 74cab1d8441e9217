"""The data set that the commands are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.command import write_letters


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small data set in MNIST's format, of three letters."""
    write_letters(tmp_path / "letters")
    return tmp_path / "letters"
