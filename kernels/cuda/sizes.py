"""Sizes that a source and its launchers both know: handed to the compiler as ``#define``.

``ROWS`` and ``COLUMNS`` are of a tile of the result, ``DEPTH`` the step in which the sum goes by,
``THREADS`` those of a block, and ``BLOCKS`` how many of these a multiprocessor is to hold: 3 leave
a thread 168 registers, 4 leave 128, so that none spills. A thread has ``SIDE`` rows and as many
columns of a tile, ``ACROSS`` threads lie side by side in it. Where one warp takes a row, ``WARPS``
are those of a block, where several may share it there are ``MOST_WARPS`` at most, ``COLUMN_WARPS``
where a lane takes a column, and ``NORM_THREADS`` threads sum squares. ``ENTRIES`` of a parameter
are a thread's where its gradient is in memory, ``NORM_COLUMNS`` a block's that normalises.
"""

from __future__ import annotations

WARP = 32
"""Threads of a warp, on every device."""

PRODUCT = {
    "ROWS": 32, "COLUMNS": 64, "DEPTH": 32, "THREADS": 128, "BLOCKS": 3, "SIDE": 4, "ACROSS": 16,
}  # fmt: skip
WEIGHTS = {
    "ROWS": 32, "COLUMNS": 16, "DEPTH": 32, "THREADS": 128, "BLOCKS": 4, "ENTRIES": 4,
}  # fmt: skip
ROW_BY_ROW = {"WARPS": 4}
HEAD = {"MOST_WARPS": 16}
BY_COLUMN = {"COLUMN_WARPS": 8}
LARGE = {**BY_COLUMN, "ROWS_AT_ONCE": 4}
NORM = {"NORM_THREADS": 256}
NORMALIZATION = {"NORM_THREADS": 256, "NORM_COLUMNS": 8}

SIZES: dict[str, dict[str, int]] = {
    "product": PRODUCT,
    "head": HEAD,
    "loss": ROW_BY_ROW,
    "back": PRODUCT,
    "weights": WEIGHTS,
    "control": {},
    "primitives": ROW_BY_ROW,
    "activations": {},
    "dropout": {},
    "normalization": NORMALIZATION,
    "clipping": NORM,
    "large": LARGE,
}
"""By the name of the source."""

ENTRY_THREADS = 256
"""Threads of a block where one thread does one entry: the kernel asks for the size of its block."""

MOST_BLOCKS = 65535
"""That CUDA allows along the second and third axis of a grid."""


def blocks_of(count: int, size: int) -> int:
    """Give how many blocks of this size cover so many entries."""
    return -(-count // size)
