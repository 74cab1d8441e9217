"""Philox4x32-10, random numbers without a state: each is computed from its place alone.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011
(https://doi.org/10.1145/2063384.2063405). Ten rounds of multiplications scramble a counter of four
words under a key of two. Whoever computes a number, in whatever order, on whatever device, gets the
same one.
"""

from __future__ import annotations

import math
from typing import Any

from fastnn.backends.arrays import Array

Word = Any
"""32 bits: an int, or an array of uint64 with numbers below 2**32."""

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
"""What is added to the two words of the key from round to round."""

BITS = 32
MASK = 0xFFFFFFFF
WORDS = 4
"""That one counter gives."""


def philox4x32(counter: tuple[Word, ...], key: tuple[Word, Word]) -> tuple[Word, ...]:
    """Four random words for a counter of four, under a key of two; arrays are broadcast."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0, product1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1 = (product1 >> BITS) ^ c1 ^ k0, product1 & MASK
        c2, c3 = (product0 >> BITS) ^ c3 ^ k1, product0 & MASK
        k0, k1 = (k0 + KEY_STEPS[0]) & MASK, (k1 + KEY_STEPS[1]) & MASK
    return c0, c1, c2, c3


def words_of(number: Word) -> tuple[Word, Word]:
    """Split a number of 64 bits into its lower and its upper word."""
    return number & MASK, number >> BITS


def least_word(ratio: float) -> int:
    """Give the least word that, as a number ``word / 2**32`` from 0 to 1, is not below `ratio`."""
    return math.ceil(math.ldexp(ratio, BITS))


def random_words(xp: Any, samples: int, units: int, step: Array, key: int) -> Array:
    """Words for the units of a batch, (samples, units) of uint64 below 2**32.

    A sample has Q counters, Q being a fourth of its units, rounded up: ``(q, sample, step's lower
    word, step's upper word)``. The first words of all of them belong to its first Q units, the
    second words to the next Q units, and so on.

    Parameters
    ----------
    xp
        An array namespace.
    samples, units : int
        Shape of the result.
    step : array (), uint64
        Which draw it is; where it lives the words are computed.
    key : int
        64 bits.
    """
    counters = -(-units // WORDS)
    q = xp.arange(counters, dtype=xp.uint64, device=step.device)[None, :]
    n = xp.arange(samples, dtype=xp.uint64, device=step.device)[:, None]
    words = philox4x32((q, n, *words_of(step)), words_of(key))
    return xp.concat(list(words), axis=1)[:, :units]
