"""Which matrix product goes where on a GPU, and how ours are cut. One table, one decision.

cuBLAS is the better product once it is large. But CuPy refuses it under stream capture, so a step
with cuBLAS in it is launched call by call from Python, some 5 us each and a dozen of them. Ours go
into a graph. Where the two ways cross, `TABLE` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ROWS, COLUMNS, DEPTH = 32, 64, 32
"""Tile of a product, and the step in which K goes by, as in ``product.cu`` and ``back.cu``."""

WEIGHT_ROWS, WEIGHT_COLUMNS = 32, 16
"""Tile of a weight gradient, as in ``weights.cu``."""

BLOCKS_OF_A_MULTIPROCESSOR = 2
"""A product is cut into as many blocks, where K allows it: one computes while another loads."""

GRID = 65535
"""Blocks that CUDA allows along the second and third axis of a grid."""


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

    threads = 128

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
        return not self.by_cublas(N * D * M, dtype) and max(N, D) <= GRID * ROWS

    def slices(self, N: int, D: int, M: int) -> tuple[int, int]:
        """Give into how many slices K = D is cut, and their depth, for (N, D) @ (D, M)."""
        tiles = -(-N // ROWS) * -(-M // COLUMNS)
        steps = -(-D // DEPTH)
        wanted = BLOCKS_OF_A_MULTIPROCESSOR * self.multiprocessors // tiles
        depth = -(-steps // min(max(1, wanted), steps, GRID)) * DEPTH
        return -(-D // depth), depth

    @staticmethod
    def tiles(N: int, M: int, splits: int = 1) -> tuple[int, int, int]:
        """Give the grid of a product whose result is (N, M)."""
        return -(-M // COLUMNS), -(-N // ROWS), splits

    @staticmethod
    def weight_tiles(D: int, M: int) -> tuple[int, int]:
        """Give the tiles of a weight gradient (D, M): down, across."""
        return -(-D // WEIGHT_ROWS), -(-M // WEIGHT_COLUMNS)
