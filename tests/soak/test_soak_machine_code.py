"""Machine code on disk: every damage, and rounds of many processes that start together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.kernels.cpu.machine_code import Store

from tests.helpers.kernel_store import (
    DTYPES,
    TAKE_ROWS,
    WARNED_TAKE_ROWS,
    dtypes_together,
    killed,
    losses_together,
    output,
    right,
    started,
)
from tests.helpers.rounds import rounds

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("seed", rounds(50))
def test_twelve_processes_and_twelve_dtypes(seed: int, tmp_path: Path) -> None:
    dtypes_together(tmp_path, len(DTYPES))


@pytest.mark.parametrize("seed", rounds(20))
def test_ten_processes_and_labels_of_five_dtypes(seed: int, tmp_path: Path) -> None:
    losses_together(tmp_path, 10)


@pytest.mark.parametrize("seed", rounds(50))
def test_a_kill_at_any_time(seed: int, tmp_path: Path) -> None:
    killed(tmp_path, float(np.random.default_rng(seed).uniform(0.3, 3)))


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    """The one file of a store."""
    assert right(Store(lambda: tmp_path)) == []
    (file,) = tmp_path.glob("*.nbc")
    return file


def test_every_length(entry: Path) -> None:
    content = entry.read_bytes()
    for length in rounds(len(content)):
        entry.write_bytes(content[: length % len(content)])
        assert len(right(Store(lambda: entry.parent))) == 1


@pytest.mark.parametrize("seed", rounds(2000))
def test_any_byte(seed: int, entry: Path) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(entry.read_bytes())
    for place in rng.integers(0, len(content), rng.integers(1, 5)):
        content[place] ^= int(rng.integers(1, 256))
    entry.write_bytes(content)
    assert len(right(Store(lambda: entry.parent))) == 1
    assert right(Store(lambda: entry.parent)) == []


@pytest.mark.parametrize("seed", rounds(20))
def test_damaged_files_of_the_real_kernels(seed: int, tmp_path: Path) -> None:
    output(started(TAKE_ROWS, tmp_path, *DTYPES))
    rng = np.random.default_rng(seed)
    for file in tmp_path.rglob("*.nbc"):
        content = file.read_bytes()
        file.write_bytes(content[: rng.integers(0, len(content))])
    process = started(WARNED_TAKE_ROWS, tmp_path, *DTYPES)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.count("KernelCacheWarning") == 1
    assert output(started(TAKE_ROWS, tmp_path, *DTYPES)) == f"{len(DTYPES)}\n"
