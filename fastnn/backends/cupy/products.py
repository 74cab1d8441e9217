"""Which matrix product goes where on a GPU, and how ours are cut. One table, one decision.

cuBLAS is the better product once it is large; ours are parts of fewer kernels. Where the two ways
cross, `TABLE` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastnn.kernels.cuda.sizes import MOST_BLOCKS, PRODUCT, blocks_of

BLOCKS_OF_A_MULTIPROCESSOR = 2
"""A product is cut into as many blocks, where K allows it: one computes while another loads."""


@dataclass(frozen=True)
class Crossing:
    """From how many multiply-adds on cuBLAS is faster than our kernels in a graph.

    Attributes
    ----------
    device : str
        Part of the device's name; "" fits every device.
    float32, float64 : int
        Multiply-adds of one product, or of all forward products of a step that would be one graph.
    source : str
        "computed" from the roofline in docs/gpu.md, or "measured", with a date.
    """

    device: str
    float32: int
    float64: int
    source: str


TABLE = (
    Crossing("T4", 75_000_000, 11_000_000, "computed"),
    Crossing("A100", 180_000_000, 56_000_000, "computed"),
    Crossing("H100", 620_000_000, 200_000_000, "computed"),
    Crossing("", 180_000_000, 11_000_000, "computed"),
)
"""The first row that fits decides. Nothing here has been measured yet; docs/gpu.md has the
computation, and ``bench/cublas_crossing.py`` measures the device at hand and prints its row."""


class Products:
    """The decisions for one device."""

    def __init__(self, device: Any) -> None:
        import cupy

        name = cupy.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
        self.crossing = next(row for row in TABLE if row.device in name)
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
