"""Files that are damaged, or whose writer is killed: the documented outcomes, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.damaged_idx import read_damaged
from tests.helpers.rounds import rounds
from tests.helpers.saved_files import NETWORK, killed_while_saving, load_crafted, load_damaged

pytestmark = pytest.mark.soak


def test_damaged_idx_files(tmp_path: Path) -> None:
    arrays = sum(read_damaged(tmp_path / "some-file", seed) for seed in rounds(100_000))
    print(arrays, "of them arrays")


def test_damaged_networks(tmp_path: Path) -> None:
    path = tmp_path / "network"
    NETWORK.save(path)
    content = path.read_bytes()
    same = sum(load_damaged(path, content, seed) for seed in rounds(100_000))
    print(same, "of them as they were saved")


def test_networks_with_a_sound_digest(tmp_path: Path) -> None:
    loaded = sum(load_crafted(tmp_path / "network", seed) for seed in rounds(100_000))
    print(loaded, "of them networks")


def test_processes_that_are_killed_while_they_save(tmp_path: Path) -> None:
    for seed in rounds(10):
        print(killed_while_saving(tmp_path / "network", 10, seed), "of 10 left something behind")
