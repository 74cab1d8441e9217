"""Philox4x32-10 as Numba compiles it; what is dropped by it is compared in tests/backends."""

from __future__ import annotations

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from fastnn.kernels.cpu.philox import philox4x32  # noqa: E402

from tests.helpers.known_answers import PHILOX4X32  # noqa: E402


@numba.njit(error_model="numpy")
def draw(a: int, b: int, c: int, d: int, low: int, high: int) -> tuple[int, ...]:
    return philox4x32(a, b, c, d, low, high)


@pytest.mark.parametrize(("counter", "key", "words"), PHILOX4X32)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    found = draw(*map(np.uint64, (*counter, *key)))
    assert tuple(map(int, found)) == words
