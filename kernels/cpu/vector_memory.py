"""Vectors and numbers from arrays, and back: one-dimensional, contiguous, positions count elements.

Nothing here wraps a negative position around. With ``NUMBA_BOUNDSCHECK=1`` every access is
compared with the size of its array, as Numba does for its own.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

CHECKED = bool(config.BOUNDSCHECK)


def address(
    context: Any, builder: Any, array_type: Any, array: Any, position: Any, count: int = 1
) -> Any:
    parts = context.make_array(array_type)(context, builder, array)
    if CHECKED:
        end = builder.add(position, position.type(count))
        below = builder.icmp_signed("<", position, position.type(0))
        above = builder.icmp_signed(">", end, parts.nitems)
        with builder.if_then(builder.or_(below, above), likely=False):
            message = ("a kernel reads or writes out of bounds",)
            context.call_conv.return_user_exc(builder, IndexError, message)
    return builder.gep(parts.data, [position])


@intrinsic
def load(typingctx: Any, vector: Any, array: Any, position: Any) -> Any:
    """A vector like `vector` from ``array[position:]``, an array of its dtype."""
    if array.dtype != vector.dtype:
        return None

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        _, data, position = arguments
        place = address(context, builder, array, data, position, vector.lanes)
        kind = context.get_value_type(vector)
        pointer = builder.bitcast(place, kind.as_pointer())
        return builder.load(pointer, align=vector.dtype.bitwidth // 8)

    return vector(vector, array, types.intp), generate


@intrinsic
def load_cast(typingctx: Any, vector: Any, array: Any, position: Any) -> Any:
    """`load` from an array of any real dtype, cast to that of `vector`."""
    source, target = array.dtype, vector.dtype

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        _, data, position = arguments
        place = address(context, builder, array, data, position, vector.lanes)
        kind = ir.VectorType(context.get_data_type(source), vector.lanes)
        pointer = builder.bitcast(place, kind.as_pointer())
        value = builder.load(pointer, align=max(1, source.bitwidth // 8))
        result = context.get_value_type(vector)
        if isinstance(source, types.Integer):
            cast = builder.sitofp if source.signed else builder.uitofp
            return cast(value, result)
        if source.bitwidth == target.bitwidth:
            return value
        cast = builder.fpext if source.bitwidth < target.bitwidth else builder.fptrunc
        return cast(value, result)

    return vector(vector, array, types.intp), generate


@intrinsic
def store(typingctx: Any, array: Any, position: Any, vector: Any) -> Any:
    """Write a vector to ``array[position:]``, an array of its dtype."""
    if array.dtype != vector.dtype:
        return None

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        data, position, value = arguments
        place = address(context, builder, array, data, position, vector.lanes)
        pointer = builder.bitcast(place, value.type.as_pointer())
        builder.store(value, pointer, align=vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def store_transposed(
    typingctx: Any, array: Any, position: Any, stride: Any, a: Any, b: Any, c: Any, d: Any
) -> Any:
    """Write lane n of four vectors side by side to ``array[position + n * stride:]``, for all n."""
    if not a == b == c == d or array.dtype != a.dtype:
        return None
    number = ir.IntType(32)

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        data, position, stride, *rows = arguments

        def pick(one: Any, other: Any, *lanes: int) -> Any:
            order = ir.Constant(ir.VectorType(number, len(lanes)), list(lanes))
            return builder.shuffle_vector(one, other, order)

        for lane in range(0, a.lanes, 4):
            a4, b4, c4, d4 = [pick(row, row, *range(lane, lane + 4)) for row in rows]
            ab, cd = [
                (pick(x, y, 0, 4, 1, 5), pick(x, y, 2, 6, 3, 7)) for x, y in ((a4, b4), (c4, d4))
            ]
            for half in (0, 1):
                for lanes in ((0, 1, 4, 5), (2, 3, 6, 7)):
                    pointer = address(context, builder, array, data, position, 4)
                    value = pick(ab[half], cd[half], *lanes)
                    pointer = builder.bitcast(pointer, value.type.as_pointer())
                    builder.store(value, pointer, align=a.dtype.bitwidth // 8)
                    position = builder.add(position, stride)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, a, a, a, a), generate


@intrinsic
def at(typingctx: Any, array: Any, position: Any) -> Any:
    """``array[position]``; unlike Numba's own indexing it does not check the sign."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return builder.load(address(context, builder, array, *arguments))

    return array.dtype(array, types.intp), generate


@intrinsic
def prefetch(typingctx: Any, array: Any, position: Any) -> Any:
    """Ask for the cache line of ``array[position]``."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        place = address(context, builder, array, *arguments)
        byte = builder.bitcast(place, ir.IntType(8).as_pointer())
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte.type, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [byte, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate
