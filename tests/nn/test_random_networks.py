"""Random networks against float64 NumPy, and their bits whatever the number of threads."""

from __future__ import annotations

import sys

import pytest

import fastnn
from tests.helpers.random_checks import check_bits, check_flat
from tests.helpers.random_networks import check_case


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_random_networks_against_float64(name: str) -> None:
    with fastnn.use_backend(name, strict=True):
        compared = [check_case(seed) for seed in range(30)]
    assert sum(count > 0 for count in compared) > 25


def test_the_bits_of_random_networks_do_not_depend_on_the_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("numba")
    for seed in range(6):
        check_bits(seed, monkeypatch)


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc here")
def test_memory_and_open_files_stay_flat() -> None:
    pytest.importorskip("numba")
    check_flat(100)
