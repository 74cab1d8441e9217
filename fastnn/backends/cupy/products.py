"""Which matrix product goes where on a GPU, and how ours are cut. One decision.

cuBLAS is the better product once it is large, ours are parts of fewer kernels. Where the two ways
cross was measured on the device (``measured.py``), or is computed for it (``crossing.py``). No name
of a device decides anything: "T4" is in "T400", and new ones come.
"""

from __future__ import annotations

from typing import Any

from fastnn.backends.cupy.crossing import Rates, computed
from fastnn.backends.cupy.measured import measured
from fastnn.kernels.cuda.sizes import MOST_BLOCKS, PRODUCT, blocks_of

BLOCKS_OF_A_MULTIPROCESSOR = 2
"""A product is cut into as many blocks, where K allows it: one computes while another loads."""


class Products:
    """The decisions for one device."""

    def __init__(self, device: Any) -> None:
        self.crossing = measured(device) or computed(Rates.of(device))
        self.multiprocessors: int = device.attributes["MultiProcessorCount"]

    def by_cublas(self, multiply_adds: int, dtype: str) -> bool:
        """Say whether a product of so many multiply-adds goes to cuBLAS."""
        limit: int = getattr(self.crossing, dtype)
        return multiply_adds > limit

    def by_ours(self, N: int, D: int, M: int, dtype: str) -> bool:
        """Say whether (N, D) @ (D, M) goes to a kernel of ours, and fits into its grid."""
        return not self.by_cublas(N * D * M, dtype) and self.fits(max(N, D))

    @staticmethod
    def fits(rows: int) -> bool:
        """Say whether a result of so many rows fits into a grid."""
        return bool(blocks_of(rows, PRODUCT["ROWS"]) <= MOST_BLOCKS)

    def slices(self, N: int, D: int, M: int) -> tuple[int, int]:
        """Give into how many slices K = D is cut, and their depth, for (N, D) @ (D, M)."""
        tiles = blocks_of(N, PRODUCT["ROWS"]) * blocks_of(M, PRODUCT["COLUMNS"])
        steps = blocks_of(D, PRODUCT["DEPTH"])
        wanted = BLOCKS_OF_A_MULTIPROCESSOR * self.multiprocessors // tiles
        depth = -(-steps // min(max(1, wanted), steps, MOST_BLOCKS)) * PRODUCT["DEPTH"]
        return blocks_of(D, depth), depth
