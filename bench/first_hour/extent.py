"""How much is measured: all of it on a device, a little where it is only seen that it works."""

from __future__ import annotations

from dataclasses import dataclass

from cublas_crossing import BATCH, WIDTHS


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes
    ----------
    networks : tuple of tuple of int
        Sizes of the layers.
    batches : tuple of int
        Of each network.
    widths : tuple of int
        Hidden units at which our kernels are timed beside cuBLAS.
    batch_of_widths : int
        And the batch.
    nodes : int
        Kernels of a graph that is timed.
    samples : int
        That are streamed.
    rounds : int
        How often a time is taken; the median counts.
    tests, kernel_tests : tuple of str
        What pytest is given for the tests on a device, and for those under compute-sanitizer.
    rivals : bool
        Whether other libraries are measured, too.
    """

    networks: tuple[tuple[int, ...], ...]
    batches: tuple[int, ...]
    widths: tuple[int, ...]
    batch_of_widths: int
    nodes: int
    samples: int
    rounds: int
    tests: tuple[str, ...]
    kernel_tests: tuple[str, ...]
    rivals: bool


FULL = Extent(
    networks=((784, 50, 10), (784, 512, 10), (784, 2048, 10), (28, *[300] * 5, 2)),
    batches=(100, 256, 512),
    widths=WIDTHS,
    batch_of_widths=BATCH,
    nodes=1000,
    samples=300_000,
    rounds=5,
    tests=("tests",),
    kernel_tests=(
        "tests/kernels/cuda/test_kernels.py",
        "tests/kernels/cuda/test_rows.py",
        "tests/backends/cupy/test_fused_parts.py",
        "tests/backends/cupy/test_fused_rules.py",
        "tests/backends/cupy/test_fused_normalization.py",
    ),
    rivals=True,
)

SMALL = Extent(
    networks=((12, 9, 4),),
    batches=(500,),
    widths=(4, 8),
    batch_of_widths=8,
    nodes=8,
    samples=3000,
    rounds=1,
    tests=("tests/backends/cupy/test_crossing.py",),
    kernel_tests=("tests/backends/cupy/test_crossing.py",),
    rivals=False,
)
"""Of which a simulated device takes a minute."""
