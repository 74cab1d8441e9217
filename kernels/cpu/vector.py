"""A vocabulary of vectors, so that kernels in plain Numba compile to the instructions meant.

A vector is a value of a Numba type over an LLVM vector such as ``<64 x float>``. LLVM splits it
into registers of the host (four of AVX-512, eight of AVX2, sixteen of NEON), so the width of the
machine stands nowhere in a kernel. `zeros` makes the first one; every other word takes its type
from a vector or gives one. Here is arithmetic, each lane by itself; `vector_memory` moves vectors
from and to arrays, `vector_lanes` makes one number of a vector.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import Signature
from numba.extending import intrinsic, models, register_model


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


def spread(builder: Any, number: Any, lanes: int) -> Any:
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
        return spread(builder, value, vector.lanes)

    return vector(vector, number), generate


@intrinsic
def scaled(typingctx: Any, scale: Any, number: Any) -> Any:
    """`number` as it is if `scale` is None, else cast to the dtype of `scale` and times it."""
    if isinstance(scale, types.NoneType):
        return number(scale, number), lambda context, builder, signature, arguments: arguments[1]

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        factor, value = arguments
        return builder.fmul(factor, context.cast(builder, value, number, scale))

    return scale(scale, number), generate


def lane_by_lane(a: Any, operands: int, operation: Any) -> Any:
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
    return lane_by_lane(a, 3, lambda builder, *abc: call_llvm(builder, "fma", *abc))


@intrinsic
def magnitude(typingctx: Any, a: Any) -> Any:
    """The absolute value of each lane."""
    return lane_by_lane(a, 1, lambda builder, x: call_llvm(builder, "fabs", x))


@intrinsic
def largest(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger of each two lanes; NaN if one is NaN."""
    return lane_by_lane(a, 2, larger)


def larger(builder: Any, x: Any, y: Any) -> Any:
    better = builder.fcmp_unordered(">", x, y)  # also where one of them is NaN
    nan = builder.fcmp_unordered("uno", y, y)
    return builder.select(nan, y, builder.select(better, x, y))


@intrinsic
def add(typingctx: Any, a: Any, b: Any) -> Any:
    """``a + b``."""
    return lane_by_lane(a, 2, lambda builder, x, y: builder.fadd(x, y))


@intrinsic
def subtract(typingctx: Any, a: Any, b: Any) -> Any:
    """``a - b``."""
    return lane_by_lane(a, 2, lambda builder, x, y: builder.fsub(x, y))


@intrinsic
def square_root(typingctx: Any, a: Any) -> Any:
    """The square root of each lane, rounded correctly."""
    return lane_by_lane(a, 1, lambda builder, x: call_llvm(builder, "sqrt", x))


@intrinsic
def multiply(typingctx: Any, a: Any, b: Any) -> Any:
    """``a * b``."""
    return lane_by_lane(a, 2, lambda builder, x, y: builder.fmul(x, y))


@intrinsic
def divide(typingctx: Any, a: Any, b: Any) -> Any:
    """``a / b``."""
    return lane_by_lane(a, 2, lambda builder, x, y: builder.fdiv(x, y))


@intrinsic
def relu(typingctx: Any, a: Any) -> Any:
    """``max(a, 0)``, NaN staying NaN."""

    def operation(builder: Any, x: Any) -> Any:
        zero = ir.Constant(x.type, None)
        return builder.select(builder.fcmp_ordered("<=", x, zero), zero, x)

    return lane_by_lane(a, 1, operation)


@intrinsic
def scale_where_not_positive(typingctx: Any, a: Any, x: Any, factor: Any) -> Any:
    """``factor * a`` where ``x <= 0``, else `a`."""
    if factor != a.dtype:
        return None

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        a, x, factor = arguments
        scaled = builder.fmul(spread(builder, factor, a.type.count), a)
        zero = ir.Constant(x.type, None)
        return builder.select(builder.fcmp_ordered("<=", x, zero), scaled, a)

    return a(a, a, a.dtype), generate


@intrinsic
def leading_lanes(typingctx: Any, a: Any, count: Any, rest: Any) -> Any:
    """The first `count` lanes of `a`, and the number `rest`, cast, in the others."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        vector, count, number = arguments
        number = context.cast(builder, number, rest, a.dtype)
        numbers = ir.VectorType(count.type, a.lanes)
        order = ir.Constant(numbers, list(range(a.lanes)))
        inside = builder.icmp_signed("<", order, spread(builder, count, a.lanes))
        return builder.select(inside, vector, spread(builder, number, a.lanes))

    return a(a, types.intp, rest), generate


@intrinsic
def zero_behind_relu(typingctx: Any, a: Any, x: Any) -> Any:
    """0 where ``x <= 0``, `x` being what the ReLU gave, else `a`."""

    def operation(builder: Any, a: Any, x: Any) -> Any:
        zero = ir.Constant(x.type, None)
        return builder.select(builder.fcmp_ordered("<=", x, zero), zero, a)

    return lane_by_lane(a, 2, operation)
