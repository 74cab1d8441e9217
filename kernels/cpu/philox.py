"""Philox4x32-10 and what is dropped by it; `fastnn.backends.philox` says what is computed.

Words are uint64 below 2**32: a product of two is whole then, and the loop over the counters of a
sample becomes one of vectors, with the multiplication of 32-bit halves that they have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import inline_kernel, inner_kernel, kernel

Array = Any

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEP_0, KEY_STEP_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
BITS, MASK = np.uint64(32), np.uint64(0xFFFFFFFF)
ROUNDS, WORDS = 10, 4

AT_ONCE = 256
"""Counters of several samples that are computed in one loop, which is long enough for vectors."""


def words_of(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Four random words for a counter of four, under a key of two; of whatever computes like them.

    It is `philox4x32` in a kernel.
    """
    for _ in range(ROUNDS):
        product0, product1 = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
        c0, c1 = (product1 >> BITS) ^ c1 ^ k0, product1 & MASK
        c2, c3 = (product0 >> BITS) ^ c3 ^ k1, product0 & MASK
        k0, k1 = (k0 + KEY_STEP_0) & MASK, (k1 + KEY_STEP_1) & MASK
    return c0, c1, c2, c3


philox4x32 = inline_kernel(words_of)


@kernel
def dropout(x: Array, bound: Any, step: Any, key: Any, y: Array, mask: Array) -> None:
    """``y = x * mask``, the mask holding where a word is not below `bound`. x, y, mask (N, D)."""
    samples, units = x.shape
    counters = (units + WORDS - 1) // WORDS
    together = max(1, min(samples, AT_ONCE // max(1, counters)))
    places = np.empty((2, together * counters), np.uint64)
    kept = np.empty((WORDS, together * counters), np.bool_)
    for first in range(0, samples, together):
        last = min(first + together, samples)
        for n in range(first, last):
            for q in range(counters):
                places[0, (n - first) * counters + q] = q
                places[1, (n - first) * counters + q] = n
        _draw(places, bound, step, key, kept)
        for n in range(first, last):
            for word in range(WORDS):
                begin = word * counters
                place = (n - first) * counters - begin
                for d in range(begin, min(begin + counters, units)):
                    mask[n, d] = kept[word, place + d]
            for d in range(units):
                y[n, d] = x[n, d] * x.dtype.type(mask[n, d])


@inner_kernel
def _draw(places: Array, bound: Any, step: Any, key: Any, kept: Array) -> None:
    """Whether the words for counters (q, n, step) are at least `bound`; places (2, K): q and n."""
    low, high, k0, k1 = step & MASK, step >> BITS, key & MASK, key >> BITS
    for i in range(places.shape[1]):
        words = philox4x32(places[0, i], places[1, i], low, high, k0, k1)
        kept[0, i] = words[0] >= bound
        kept[1, i] = words[1] >= bound
        kept[2, i] = words[2] >= bound
        kept[3, i] = words[3] >= bound


@kernel
def multiply_by_mask(dout: Array, mask: Array, out: Array) -> None:
    """``out = dout * mask``; all (K,)."""
    for k in range(dout.shape[0]):
        out[k] = dout[k] * dout.dtype.type(mask[k])
