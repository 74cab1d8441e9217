"""Philox4x32-10 of the kernels; what is dropped by it is compared in tests/backends."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.kernels.cpu.philox import philox4x32

from tests.helpers.known_answers import PHILOX4X32


@pytest.mark.parametrize(("counter", "key", "words"), PHILOX4X32)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    found = philox4x32(*map(np.uint64, (*counter, *key)))
    assert tuple(map(int, found)) == words
