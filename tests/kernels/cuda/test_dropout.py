"""Philox4x32-10 as NVRTC compiles it; what is dropped by it is compared in tests/backends."""

from __future__ import annotations

import numpy as np
import pytest
from fastnn.kernels.cuda import loading

from tests.helpers.gpu import cupy_backend
from tests.helpers.known_answers import PHILOX4X32

pytestmark = pytest.mark.gpu

ONE_COUNTER = """
extern "C" __global__ void one_counter(const unsigned* counter, const unsigned* key, unsigned* out)
{
    Words words = {{counter[0], counter[1], counter[2], counter[3]}};
    words = philox4x32(words, key[0], key[1]);
    for (int i = 0; i < 4; i++) out[i] = words.v[i];
}
"""


@pytest.mark.parametrize(("counter", "key", "words"), PHILOX4X32)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    cupy_backend()
    import cupy

    kernel = cupy.RawKernel(
        loading.source("dropout") + ONE_COUNTER, "one_counter", options=loading.OPTIONS
    )
    found = cupy.zeros(4, "uint32")
    kernel((1,), (1,), (*(cupy.asarray(np.array(a, "uint32")) for a in (counter, key)), found))
    assert tuple(found.get().tolist()) == words
