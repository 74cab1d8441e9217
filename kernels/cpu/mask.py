"""Which units dropout keeps, drawn for several counters of Philox4x32-10 at a time.

A mask is a row of bytes for a sample, all ones where a unit is kept and 0 where it is dropped. The
units of a sample have Q counters, four words each; the words in first place belong to the first Q
units, those in second place to the next Q, and so on (`fastnn.backends.philox.random_words`).
"""

from __future__ import annotations

from typing import Any

from fastnn.kernels.cpu.philox import WORDS, philox4x32
from fastnn.kernels.cpu.vector import call_llvm, lane_by_lane, spread
from fastnn.kernels.cpu.vector_memory import address
from llvmlite import ir
from numba import types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

COUNTERS = 8
"""That are drawn at once."""

_byte, _long = ir.IntType(8), ir.IntType(64)


class Words:
    """A number of 64 bits, or one for each counter, while the formula of Philox is written down.

    What is the same for all counters stays one number, and costs no vector instruction.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __mul__(self, other: Any) -> Words:
        return self._by("mul", other)

    def __add__(self, other: Any) -> Words:
        return self._by("add", other)

    def __xor__(self, other: Any) -> Words:
        return self._by("xor", other)

    def __and__(self, other: Any) -> Words:
        return self._by("and_", other)

    def __rshift__(self, other: Any) -> Words:
        return self._by("lshr", other)

    def at_least(self, other: Any) -> Any:
        """Whether each is at least as large as other numbers, all of them below 2**63."""
        one, two = self._alike(other)
        return self.builder.icmp_signed(">=", one, two)

    def _by(self, operation: str, other: Any) -> Words:
        return Words(self.builder, getattr(self.builder, operation)(*self._alike(other)))

    def _alike(self, other: Any) -> tuple[Any, Any]:
        two = other.value if isinstance(other, Words) else ir.Constant(_long, int(other))
        if any(isinstance(value.type, ir.VectorType) for value in (self.value, two)):
            return self._spread(self.value), self._spread(two)
        return self.value, two

    def _spread(self, value: Any) -> Any:
        if isinstance(value.type, ir.VectorType):
            return value
        if isinstance(value, ir.Constant):
            return ir.Constant(ir.VectorType(_long, COUNTERS), [value.constant] * COUNTERS)
        return spread(self.builder, value, COUNTERS)


@intrinsic
def draw(
    typingctx: Any, mask: Any, place: Any, counters: Any, first: Any, sample: Any, step: Any,
    key: Any, bound: Any,
) -> Any:  # fmt: skip
    """Write `COUNTERS` counters' part of a sample's mask, whose row is at `place`.

    Those from `first` on, of as many as there are. What lies behind the last one is overwritten in
    each of the four parts of the row: the counters are to be drawn from the last ones on.
    """

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        array, place, counters, first, *numbers = arguments
        sample, step, key, bound = (Words(builder, number) for number in numbers)
        order = ir.Constant(ir.VectorType(_long, COUNTERS), list(range(COUNTERS)))
        low = (1 << 32) - 1
        counter = Words(builder, order) + Words(builder, first), sample, step & low, step >> 32
        for word in philox4x32(*counter, key & low, key >> 32):
            kept = builder.sext(word.at_least(bound), ir.VectorType(_byte, COUNTERS))
            to = address(context, builder, mask, array, builder.add(place, first), COUNTERS)
            builder.store(kept, builder.bitcast(to, kept.type.as_pointer()), align=1)
            place = builder.add(place, counters)
        return context.get_dummy_value()

    number = types.int64
    return types.void(mask, *[number] * 7), generate


def row_of_mask(units: int) -> int:
    """Bytes that the row of a sample takes as it is drawn."""
    counters = -(-units // WORDS)
    return int((WORDS - 1) * counters + -(-counters // COUNTERS) * COUNTERS)


@intrinsic
def drop(typingctx: Any, row: Any, mask: Any, place: Any) -> Any:
    """``row * mask``, as that is kept: -0 where a unit is dropped, and nowhere else.

    The mask of the lanes is at `place`. NaN stays NaN, and infinity times zero is that too.
    """

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        value, array, place = arguments
        at = address(context, builder, mask, array, place, row.lanes)
        kind = ir.VectorType(_byte, row.lanes)
        some = builder.load(builder.bitcast(at, kind.as_pointer()), align=1)
        kept = builder.icmp_signed("<", some, ir.Constant(kind, None))
        zero = ir.Constant(value.type, None)
        nothing = builder.fmul(value, zero)
        negative = call_llvm(builder, "copysign", nothing, _minus_zero(value.type))
        return builder.select(kept, builder.fadd(value, zero), negative)

    return row(row, mask, types.intp), generate


@intrinsic
def drop_again(typingctx: Any, dout: Any, out: Any) -> Any:
    """``dout * mask``, the mask being known by what `drop` gave."""

    def operation(builder: Any, dout: Any, out: Any) -> Any:
        whole = ir.VectorType(ir.IntType(dout_bits), out.type.count)
        dropped = builder.icmp_unsigned(
            "==", builder.bitcast(out, whole), builder.bitcast(_minus_zero(out.type), whole)
        )
        return builder.select(dropped, builder.fmul(dout, ir.Constant(dout.type, None)), dout)

    dout_bits = dout.dtype.bitwidth
    return lane_by_lane(dout, 2, operation)


def _minus_zero(kind: Any) -> Any:
    return ir.Constant(kind, [-0.0] * kind.count)
