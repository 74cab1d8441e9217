"""A number made of the lanes of a vector: a sum, the largest, or which are not zero, as bits."""

from __future__ import annotations

from typing import Any

from fastnn.kernels.cpu.vector import lane_by_lane, larger
from llvmlite import ir
from numba import types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic


@intrinsic
def nonzero_lanes(typingctx: Any, vector: Any) -> Any:
    """Which lanes of a vector of at most 64 are not zero, as the bits of a whole number."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        value, zero = arguments[0], ir.Constant(arguments[0].type, None)
        if isinstance(vector.dtype, types.Integer):
            bits = builder.icmp_unsigned("!=", value, zero)
        else:
            bits = builder.fcmp_unordered("!=", value, zero)
        number = builder.bitcast(bits, ir.IntType(vector.lanes))
        whole = ir.IntType(64)
        return number if vector.lanes == 64 else builder.zext(number, whole)

    return types.uint64(vector), generate


@intrinsic
def common_bits(typingctx: Any, a: Any, b: Any) -> Any:
    """``a & b``, for vectors of whole numbers."""
    return lane_by_lane(a, 2, lambda builder, x, y: builder.and_(x, y))


@intrinsic
def lowest_bit(typingctx: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set, of which there is one."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.intp(types.uint64), generate


@intrinsic
def count_bits(typingctx: Any, bits: Any) -> Any:
    """How many bits are set."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.intp(types.uint64), generate


@intrinsic
def first_lane(typingctx: Any, vector: Any) -> Any:
    """The first number of a vector."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return builder.extract_element(arguments[0], ir.IntType(32)(0))

    return vector.dtype(vector), generate


@intrinsic
def sum_of_lanes(typingctx: Any, vector: Any) -> Any:
    """The sum of the lanes, the two halves of the vector added until one lane is left."""
    return _reduce(vector, lambda builder, x, y: builder.fadd(x, y))


@intrinsic
def largest_lane(typingctx: Any, vector: Any) -> Any:
    """The largest lane; NaN if one is NaN."""
    return _reduce(vector, larger)


def _reduce(vector: Any, operation: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        value, count = arguments[0], vector.lanes
        while count > 1:
            count //= 2
            number = ir.IntType(32)
            halves = [
                ir.Constant(ir.VectorType(number, count), list(range(start, start + count)))
                for start in (0, count)
            ]
            undefined = ir.Constant(value.type, ir.Undefined)
            low, high = [builder.shuffle_vector(value, undefined, half) for half in halves]
            value = operation(builder, low, high)
        return builder.extract_element(value, ir.IntType(32)(0))

    return vector.dtype(vector), generate
