"""Loads from memory stand together in the machine code: one wait for many, not one for each.

A trip to memory takes about half a microsecond, as long as much of a kernel's arithmetic. What the
source says of loads in a group counts only if the compiler has kept them in one.
"""

from __future__ import annotations

import pytest

from fastnn.backends.cupy.detection import problem_with_cupy
from tests.helpers.gpu_resources import nvrtc_version
from tests.helpers.sass import loads_under_way, machine_code, nvdisasm

pytestmark = pytest.mark.gpu

ARCHITECTURES = (75, 90, 100)

WAITS_AND_LARGEST = {
    "product": {
        "gather_product": (9, 9), "hidden_product": (3, 16), "matrix_product": (2, 22),
        "finish": (1, 9),
    },
    "head": {"head": (17, 16)},
    "loss": {"loss": (23, 16)},
    "back": {"back": (3, 12)},
    "weights": {"update_weights": (35, 12), "weight_gradients": (3, 12), "update_clipped": (6, 5)},
}  # fmt: skip
"""How often a kernel waits for loads at most, in the order of its text; and how many loads its
largest group has at least. A tile of x and W are 24 loads of a thread, of which those of double
may have to go in two groups for want of registers. The waits of `loss` are those of softmax,
which goes over the scores four times, and of targets and weights, as are more than half of those
of `head`; some of `gather_product` are the weights of the batch. `update_weights` has tiles of
the data set and of a hidden layer, vectors, the mean loss, draws of dropout, and with some rules
two sums over all blocks."""


@pytest.fixture(autouse=True)
def _tools() -> None:
    """NVRTC and nvdisasm are there; a device is not needed."""
    pytest.importorskip("cupy")
    try:
        nvrtc_version()
    except Exception as error:
        pytest.skip(f"NVRTC does not answer ({error}); {problem_with_cupy()}")
    if nvdisasm() is None:
        pytest.skip("nvdisasm is not installed: pip install nvidia-cuda-nvdisasm")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", sorted(WAITS_AND_LARGEST))
def test_loads_of_a_group_stand_together(file: str, architecture: int) -> None:
    kernels = machine_code(file, architecture)
    assert {expression.partition("<")[0] for expression in kernels} == set(WAITS_AND_LARGEST[file])
    for expression, code in kernels.items():
        most, largest = WAITS_AND_LARGEST[file][expression.partition("<")[0]]
        groups = loads_under_way(code)
        assert len(groups) <= most, (expression, groups)
        assert max(groups) >= largest, (expression, groups)


def test_a_group_ends_where_a_load_is_waited_for() -> None:
    code = [
        ("LDG.E", "R2, desc[UR4][R8.64]"),
        ("IMAD", "R9, R9, 0x2, R1"),
        ("LDG.E.64", "R4, desc[UR4][R8.64+0x8]"),
        ("FADD", "R10, R11, R5"),  # the second register of the second load
        ("LDG.E.U8", "R2, desc[UR4][R8.64]"),
        ("BAR.SYNC", "0x0"),
        ("LDG.E", "R3, desc[UR4][R8.64]"),
    ]
    assert loads_under_way(code) == [2, 1, 1]
