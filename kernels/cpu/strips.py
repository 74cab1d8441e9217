"""How a step's numbers lie in memory: one array of floats, and a table that says what is where.

Matrices lie in strips of columns (see `fastnn.kernels.cpu.dense`): 256 bytes wide, or 16 numbers
where a layer has no more outputs than that, as a layer of classes has; see `strip_of`. Layer ``l``
has

- ``W`` in strips of its outputs, each (inputs, STRIP); inputs counted as the strips of the layer
  before lay them out, its padding included
- ``WT``, the transposed weights in strips of its *inputs*, each (outputs, STRIP before): for the
  gradient by the input. The first layer has none.
- ``B``, the bias, padded
- ``A`` and ``G``, what it gives and the gradient by that, in strips, each (CAPACITY, STRIP)
- ``PARTS``, sums over some of its inputs only, in as many parts as there are groups (see below);
  only the first layer has them

and each thread has room for its sums over samples, twice as much as a strip of the first layer's W:
``SUMS``, see `fastnn.kernels.cpu.sums`.

The first layer's work is cut into *units*: a group of input features times a strip. A narrow layer
has one strip and several groups; a wide one has strips enough for the threads and one group. A
unit's weights are read and written by one thread only, so they stay in its cache. How a layer is
cut depends on its shape alone, never on the number of threads, and so do the bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn.kernels.cpu.vector import VectorType, constant_zeros
from numba.core.registry import cpu_target
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

STRIP_BYTES = 256
NARROW = 16

# Columns of the table, which has a row for each layer.
(INPUTS, OUTPUTS, STRIP, STRIPS, RELU, W, W_SIZE, WT, WT_SIZE, B, A, G, PARTS, COLUMNS) = range(14)

# Places in the step's shape.
(CAPACITY, FEATURES, GROUPS, BLOCKS, X, X_SIZE, X_ROW, PEAKS, LOSSES, EXPANDED, SUMS) = range(11)
SHAPE = 11  # places


def _tile_bytes() -> int:
    """Width of a tile of four rows, for which the host has registers."""
    features = str(cpu_target.target_context.codegen().magic_tuple())
    if "+avx512f" in features:
        return 256
    return 64


TILE_BYTES = _tile_bytes()


def strip_of(outputs: int, itemsize: int, *, dense: bool) -> int:
    """Width of the strips of a layer, in a network whose first layer is dense or skips zeros.

    A dense product reads a strip row by row, so it wants the rows of a tile to lie together; a
    sparse one reads rows here and there, and wants them long.
    """
    tile_is_narrower = TILE_BYTES < STRIP_BYTES
    if outputs <= NARROW or (dense and tile_is_narrower):
        return NARROW
    return STRIP_BYTES // itemsize


class Wide(NamedTuple):
    """Says, by its type, that the first layer's strips are wide: kernels are compiled for that."""

    strip: int = 0


class Narrow(NamedTuple):
    """Says that the first layer has few outputs."""

    strip: int = 1


def _lanes(kind: Any, itemsize: int, most: int) -> int:
    """How many numbers of a strip fit in so many bytes."""
    lanes = NARROW if kind is Narrow else STRIP_BYTES // itemsize
    return min(lanes, most // itemsize)


def _zeros(memory: Any, kind: Any, most: int, *others: Any) -> Any:
    vector = VectorType(memory.dtype, _lanes(kind, memory.dtype.bitwidth // 8, most))

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return constant_zeros(context, vector)

    return vector(memory, *others), generate


@intrinsic
def strip_of_zeros(typingctx: Any, memory: Any, width: Any) -> Any:
    """Zeros of the width of a whole strip, `width` being a `Wide` or a `Narrow`."""
    return _zeros(memory, width.instance_class, STRIP_BYTES, width)


@intrinsic
def tile_of_zeros(typingctx: Any, memory: Any, width: Any) -> Any:
    """Zeros of the width of a tile in such a strip."""
    return _zeros(memory, width.instance_class, TILE_BYTES, width)


@intrinsic
def wide(typingctx: Any, memory: Any) -> Any:
    """Zeros of the width of a whole wide strip."""
    return _zeros(memory, Wide, STRIP_BYTES)


@intrinsic
def narrow(typingctx: Any, memory: Any) -> Any:
    """Zeros of the width of a whole narrow strip."""
    return _zeros(memory, Narrow, STRIP_BYTES)


@intrinsic
def wide_tile(typingctx: Any, memory: Any) -> Any:
    """Zeros of the width of a tile in a wide strip."""
    return _zeros(memory, Wide, TILE_BYTES)


@intrinsic
def narrow_tile(typingctx: Any, memory: Any) -> Any:
    """Zeros of the width of a tile in a narrow strip."""
    return _zeros(memory, Narrow, TILE_BYTES)
