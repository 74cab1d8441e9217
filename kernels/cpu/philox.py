"""Philox4x32-10; `fastnn.backends.philox` says what is computed.

Words are of 64 bits, and below 2**32: a product of two is whole then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEP_0, KEY_STEP_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
BITS, MASK = np.uint64(32), np.uint64(0xFFFFFFFF)
ROUNDS, WORDS = 10, 4


def philox4x32(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Four random words for a counter of four, under a key of two.

    Of numbers of uint64, or whatever computes like them; see `fastnn.kernels.cpu.mask`.
    """
    for _ in range(ROUNDS):
        product0, product1 = c0 * MULTIPLIER_0, c2 * MULTIPLIER_1
        c0, c1 = (product1 >> BITS) ^ c1 ^ k0, product1 & MASK
        c2, c3 = (product0 >> BITS) ^ c3 ^ k1, product0 & MASK
        k0, k1 = (k0 + KEY_STEP_0) & MASK, (k1 + KEY_STEP_1) & MASK
    return c0, c1, c2, c3
