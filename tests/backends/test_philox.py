"""The random numbers of dropout: published answers, the place of each number, and chance."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.backends import Backend
from fastnn.backends.philox import least_word, philox4x32, random_words
from tests.helpers.known_answers import PHILOX4X32


@pytest.mark.parametrize(("counter", "key", "words"), PHILOX4X32)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    assert philox4x32(counter, key) == words


def test_known_answers_of_arrays(backend: Backend) -> None:
    def array(column: tuple[int, ...]) -> object:
        return backend.asarray(np.array(column, "uint64"))

    counters, keys, answers = zip(*PHILOX4X32, strict=True)
    c0, c1, c2, c3 = map(array, zip(*counters, strict=True))
    k0, k1 = map(array, zip(*keys, strict=True))
    found = philox4x32((c0, c1, c2, c3), (k0, k1))
    for word, right in zip(found, zip(*answers, strict=True), strict=True):
        assert backend.to_numpy(word).tolist() == list(right)


STEP, KEY = 3 * 2**32 + 5, 2**64 - 9


def word_at(sample: int, unit: int, units: int) -> int:
    """The word for a unit of a sample, by Python's whole numbers."""
    counters = -(-units // 4)
    counter = (unit % counters, sample, STEP % 2**32, STEP // 2**32)
    return int(philox4x32(counter, (KEY % 2**32, KEY // 2**32))[unit // counters])


@pytest.mark.parametrize("units", [1, 2, 3, 4, 5, 7, 8, 50, 300, 2000])
def test_a_word_belongs_to_its_sample_and_unit(backend: Backend, units: int) -> None:
    samples = 6
    words = [[word_at(n, unit, units) for unit in range(units)] for n in range(samples)]
    step = backend.xp.asarray(STEP, dtype=backend.xp.uint64, device=backend.device)
    found = random_words(backend.xp, samples, units, step, KEY)
    assert backend.to_numpy(found).tolist() == words
    x = backend.asarray(np.ones((samples, units)))
    for ratio in (0.0, 0.1, 0.5, 1 - 2**-40):
        right = [[word / 2**32 >= ratio for word in row] for row in words]
        for draw in (STEP, backend.asarray(np.array(STEP))):
            y, mask = backend.dropout(x, draw, ratio=ratio, key=KEY)
            assert backend.to_numpy(mask).tolist() == right
            assert backend.to_numpy(y).tolist() == right


def test_the_least_word_that_is_kept() -> None:
    assert least_word(0.0) == 0
    assert least_word(0.5) == 2**31
    assert least_word(2**-32) == 1
    assert least_word(2**-33) == 1
    assert least_word(1 - 2**-53) == 2**32


def test_draws_are_as_if_by_chance(backend: Backend) -> None:
    """The share that is kept, and the agreement of two draws that differ in one thing."""
    samples, units, ratio = 200, 500, 0.3
    x = backend.asarray(np.ones((samples, units)))

    def mask(step: int, key: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool]]:
        return backend.to_numpy(backend.dropout(x, step, ratio=ratio, key=key)[1])

    one = mask(0, 0)
    error = np.sqrt(ratio * (1 - ratio) / one.size)
    assert abs(one.mean() - (1 - ratio)) < 4 * error
    by_chance = ratio**2 + (1 - ratio) ** 2
    others = mask(1, 0), mask(2**32, 0), mask(0, 1), mask(0, 2**32), np.roll(one, 1, axis=0)
    for other in (*others, np.roll(one, 1, axis=1)):
        assert abs(np.mean(one == other) - by_chance) < 4 * error
