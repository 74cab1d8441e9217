"""How wide the strips of a layer are, and zeros of that width to start vectors from.

A strip is 256 bytes wide, or 16 numbers where a layer has no more outputs than that, as a layer of
classes has.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn.kernels.cpu.compiler import chosen_by_type
from fastnn.kernels.cpu.vector import VectorType, constant_zeros
from numba.core.registry import cpu_target
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

STRIP_BYTES = 256
NARROW = 16


def _tile_bytes() -> int:
    """Width of a tile of four rows, for which the host has registers: AVX2, NEON, AVX-512."""
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


class Both(NamedTuple):
    """Says that some layers have wide strips, and some narrow ones."""

    strip: int = 2


def kinds_of(widths: Any) -> Any:
    """Say by a type which widths there are among the strips of some layers."""
    narrow = {int(width) == NARROW for width in widths}
    if len(narrow) > 1:
        return Both()
    return Narrow() if True in narrow else Wide()


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


def in_strips(kernel: Any) -> Any:
    """Make ``kernel(zeros of the width of a strip, net, *arguments)``, for the widths there are.

    What is made is called ``(kinds, width, net, *arguments)``: with the width of the strips, and
    the `kinds_of` widths that may be, for which alone `kernel` is compiled.
    """
    return _by_width(kernel, wide, narrow)


def in_tiles(kernel: Any) -> Any:
    """Do as `in_strips`, with zeros of the width of a tile."""
    return _by_width(kernel, wide_tile, narrow_tile)


def _by_width(kernel: Any, zeros_if_wide: Any, zeros_if_narrow: Any) -> Any:
    def for_wide(kinds: Any, width: Any, net: Any, *arguments: Any) -> Any:
        return kernel(zeros_if_wide(net.memory), net, *arguments)

    def for_narrow(kinds: Any, width: Any, net: Any, *arguments: Any) -> Any:
        return kernel(zeros_if_narrow(net.memory), net, *arguments)

    def for_both(kinds: Any, width: Any, net: Any, *arguments: Any) -> Any:
        if width == NARROW:
            return kernel(zeros_if_narrow(net.memory), net, *arguments)
        return kernel(zeros_if_wide(net.memory), net, *arguments)

    def call(kinds: Any, width: int, net: Any, *arguments: Any) -> Any:
        """Call the kernel; see `in_strips`."""

    @chosen_by_type(call)
    def choose(kinds: Any, width: Any, net: Any, *arguments: Any) -> Any:
        return {Wide: for_wide, Narrow: for_narrow, Both: for_both}[kinds.instance_class]

    return call
