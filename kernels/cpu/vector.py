"""A vocabulary of vectors, so that kernels in plain Numba compile to the instructions meant.

A vector is a value of a Numba type over an LLVM vector such as ``<64 x float>``. LLVM splits it
into registers of the host (four of AVX-512, eight of AVX2, sixteen of NEON), so the width of the
machine stands nowhere in a kernel. `zeros` makes the first one; every other word takes its type
from a vector or gives one. Arrays are one-dimensional and contiguous, positions count elements.

Nothing here wraps a negative position around. With ``NUMBA_BOUNDSCHECK=1`` every access is
compared with the size of its array, as Numba does for its own.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.typing.templates import Signature
from numba.extending import intrinsic, models, register_model

Value = Any
CHECKED = bool(config.BOUNDSCHECK)


class VectorType(types.Type):  # type: ignore[misc]
    """So many numbers of one dtype, held in registers."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"vector({dtype} x {lanes})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: VectorType) -> None:
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


def _address(
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


def _spread(builder: Any, number: Any, lanes: int) -> Any:
    kind = ir.VectorType(number.type, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
    )


@intrinsic(prefer_literal=True)
def zeros(typingctx: Any, like: Any, lanes: Any) -> Any:
    """A vector of `lanes` zeros, `lanes` being a literal, of the dtype of the array `like`."""
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    vector = VectorType(like.dtype, lanes.literal_value)

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return constant_zeros(context, vector)

    return vector(like, lanes), generate


def constant_zeros(context: Any, vector: VectorType) -> Any:
    """Zeros, as a constant of LLVM."""
    return ir.Constant(context.get_value_type(vector), None)


@intrinsic
def lanes(typingctx: Any, vector: Any) -> Any:
    """How many numbers a vector has, known when the kernel is compiled."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return context.get_constant(types.intp, vector.lanes)

    return types.intp(vector), generate


@intrinsic
def splat(typingctx: Any, vector: Any, number: Any) -> Any:
    """`number`, cast to the dtype of `vector`, in every lane of such a vector."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        value = context.cast(builder, arguments[1], number, vector.dtype)
        return _spread(builder, value, vector.lanes)

    return vector(vector, number), generate


@intrinsic
def load(typingctx: Any, vector: Any, array: Any, position: Any) -> Any:
    """A vector like `vector` from ``array[position:]``, an array of its dtype."""
    if array.dtype != vector.dtype:
        return None

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        _, data, position = arguments
        address = _address(context, builder, array, data, position, vector.lanes)
        kind = context.get_value_type(vector)
        pointer = builder.bitcast(address, kind.as_pointer())
        return builder.load(pointer, align=vector.dtype.bitwidth // 8)

    return vector(vector, array, types.intp), generate


@intrinsic
def load_cast(typingctx: Any, vector: Any, array: Any, position: Any) -> Any:
    """`load` from an array of any real dtype, cast to that of `vector`."""
    source, target = array.dtype, vector.dtype

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        _, data, position = arguments
        address = _address(context, builder, array, data, position, vector.lanes)
        kind = ir.VectorType(context.get_data_type(source), vector.lanes)
        pointer = builder.bitcast(address, kind.as_pointer())
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
        address = _address(context, builder, array, data, position, vector.lanes)
        pointer = builder.bitcast(address, value.type.as_pointer())
        builder.store(value, pointer, align=vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def at(typingctx: Any, array: Any, position: Any) -> Any:
    """``array[position]``; unlike Numba's own indexing it takes no time to look at the sign."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return builder.load(_address(context, builder, array, *arguments))

    return array.dtype(array, types.intp), generate


@intrinsic
def scaled(typingctx: Any, scale: Any, number: Any) -> Any:
    """`number` as it is if `scale` is None, else cast to the dtype of `scale` and times it."""
    if isinstance(scale, types.NoneType):
        return number(scale, number), lambda context, builder, signature, arguments: arguments[1]

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        factor, value = arguments
        return builder.fmul(factor, context.cast(builder, value, number, scale))

    return scale(scale, number), generate


@intrinsic
def prefetch(typingctx: Any, array: Any, position: Any) -> Any:
    """Ask for the cache line of ``array[position]``."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        address = _address(context, builder, array, *arguments)
        byte = builder.bitcast(address, ir.IntType(8).as_pointer())
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte.type, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [byte, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _lane_by_lane(a: Any, operands: int, operation: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return operation(builder, *arguments)

    return a(*[a] * operands), generate


def call_llvm(builder: Any, name: str, *operands: Any) -> Any:
    """Call an LLVM intrinsic that takes vectors and gives one, lane by lane."""
    kind = operands[0].type
    bits = {"float": 32, "double": 64}[str(kind.element)]
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [kind] * len(operands)),
        f"llvm.{name}.v{kind.count}f{bits}",
    )
    return builder.call(function, operands)


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once."""
    return _lane_by_lane(a, 3, lambda builder, *abc: call_llvm(builder, "fma", *abc))


@intrinsic
def magnitude(typingctx: Any, a: Any) -> Any:
    """The absolute value of each lane."""
    return _lane_by_lane(a, 1, lambda builder, x: call_llvm(builder, "fabs", x))


@intrinsic
def largest(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger of each two lanes; NaN if one is NaN."""
    return _lane_by_lane(a, 2, _larger)


def _larger(builder: Any, x: Any, y: Any) -> Any:
    better = builder.fcmp_unordered(">", x, y)  # also where one of them is NaN
    nan = builder.fcmp_unordered("uno", y, y)
    return builder.select(nan, y, builder.select(better, x, y))


@intrinsic
def add(typingctx: Any, a: Any, b: Any) -> Any:
    """``a + b``."""
    return _lane_by_lane(a, 2, lambda builder, x, y: builder.fadd(x, y))


@intrinsic
def multiply(typingctx: Any, a: Any, b: Any) -> Any:
    """``a * b``."""
    return _lane_by_lane(a, 2, lambda builder, x, y: builder.fmul(x, y))


@intrinsic
def divide(typingctx: Any, a: Any, b: Any) -> Any:
    """``a / b``."""
    return _lane_by_lane(a, 2, lambda builder, x, y: builder.fdiv(x, y))


@intrinsic
def relu(typingctx: Any, a: Any) -> Any:
    """``max(a, 0)``, NaN staying NaN."""

    def operation(builder: Any, x: Any) -> Any:
        zero = ir.Constant(x.type, None)
        return builder.select(builder.fcmp_ordered("<=", x, zero), zero, x)

    return _lane_by_lane(a, 1, operation)


@intrinsic
def leading_lanes(typingctx: Any, a: Any, count: Any, rest: Any) -> Any:
    """The first `count` lanes of `a`, and the number `rest` in the others."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        vector, count, rest = arguments
        numbers = ir.VectorType(count.type, a.lanes)
        order = ir.Constant(numbers, list(range(a.lanes)))
        inside = builder.icmp_signed("<", order, _spread(builder, count, a.lanes))
        return builder.select(inside, vector, _spread(builder, rest, a.lanes))

    return a(a, types.intp, a.dtype), generate


@intrinsic
def zero_behind_relu(typingctx: Any, a: Any, x: Any) -> Any:
    """0 where ``x <= 0``, `x` being what the ReLU gave, else `a`."""

    def operation(builder: Any, a: Any, x: Any) -> Any:
        zero = ir.Constant(x.type, None)
        return builder.select(builder.fcmp_ordered("<=", x, zero), zero, a)

    return _lane_by_lane(a, 2, operation)


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
    return _lane_by_lane(a, 2, lambda builder, x, y: builder.and_(x, y))


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
    return _reduce(vector, _larger)


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
