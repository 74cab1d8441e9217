"""Random networks against float64 NumPy, and their bits whatever the number of threads."""

from __future__ import annotations

import sys

import pytest

import fastnn
from tests.helpers.exhaustive import exhaustive_but
from tests.helpers.random_checks import check_bits, check_flat
from tests.helpers.random_networks import case, check_case


@pytest.fixture(params=exhaustive_but(["some"], ["some", "all"]))
def seeds(request: pytest.FixtureRequest) -> list[int]:
    """Of some cases whose data are floats; or of all, also bytes: each dtype is compiled anew."""
    if request.param == "all":
        return list(range(40))
    return [seed for seed in range(10) if case(seed).x.dtype.kind == "f"]


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_random_networks_against_float64(name: str, seeds: list[int]) -> None:
    with fastnn.use_backend(name, strict=True):
        compared = [check_case(seed) for seed in seeds]
    assert sum(count > 0 for count in compared) > 0.8 * len(seeds) > 4


def test_the_bits_of_random_networks_do_not_depend_on_the_threads(
    seeds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    for seed in seeds[:6]:
        check_bits(seed, monkeypatch)


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc here")
def test_memory_and_open_files_stay_flat(seeds: list[int]) -> None:
    pytest.importorskip("numba")
    check_flat(100, seeds)
