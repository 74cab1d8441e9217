"""IDX files, damaged in many ways: each is an array or the documented error, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from rounds import rounds
from test_datasets import read_damaged

pytestmark = pytest.mark.soak


def test_damaged_idx_files(tmp_path: Path) -> None:
    arrays = sum(read_damaged(tmp_path / "some-file", seed) for seed in rounds(100_000))
    print(arrays, "of them arrays")
