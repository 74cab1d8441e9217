"""Formulas of functions on vectors: what reads like arithmetic becomes LLVM instructions.

Inside an intrinsic, `formula` wraps a Python function of `Lanes`. The operators of these emit one
instruction each, and numbers among them become constants of the vector's type. Compared with a
kernel in Numba's Python it costs no type inference: a network compiles faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastnn.kernels.cpu.vector import call_llvm, lane_by_lane
from llvmlite import ir


class Lanes:
    """A vector of floats while its formula is written down."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value
        self.bits = {"float": 32, "double": 64}[str(value.type.element)]

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._of(self.builder.fadd(self.value, self.constant(other)))

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._of(self.builder.fsub(self.value, self.constant(other)))

    def __rsub__(self, other: float) -> Lanes:
        return self._of(self.builder.fsub(self.constant(other), self.value))

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self._of(self.builder.fmul(self.value, self.constant(other)))

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self._of(self.builder.fdiv(self.value, self.constant(other)))

    def __rtruediv__(self, other: float) -> Lanes:
        return self._of(self.builder.fdiv(self.constant(other), self.value))

    def __lt__(self, other: Lanes | float) -> Any:
        return self.builder.fcmp_ordered("<", self.value, self.constant(other))

    def __le__(self, other: Lanes | float) -> Any:
        return self.builder.fcmp_ordered("<=", self.value, self.constant(other))

    def __gt__(self, other: Lanes | float) -> Any:
        return self.builder.fcmp_ordered(">", self.value, self.constant(other))

    def between(self, least: float, most: float) -> Any:
        """Which lanes are in a range, both ends included, and not NaN."""
        above = self.builder.fcmp_ordered(">=", self.value, self.constant(least))
        return self.builder.and_(above, self <= most)

    def spread(self, number: float) -> Lanes:
        """A number in every lane."""
        return self._of(self.constant(number))

    def is_nan(self) -> Any:
        """Which lanes are NaN."""
        return self.builder.fcmp_unordered("uno", self.value, self.value)

    def fma(self, factor: Lanes | float, term: Lanes | float) -> Lanes:
        """``self * factor + term``, rounded once."""
        return self._call("fma", factor, term)

    def magnitude(self) -> Lanes:
        """The absolute value."""
        return self._call("fabs")

    def signed_as(self, other: Lanes) -> Lanes:
        """The magnitude of these lanes with the sign of others, that of a zero too."""
        return self._call("copysign", other)

    def where(self, condition: Any, other: Lanes | float) -> Lanes:
        """These lanes where the condition holds, elsewhere others."""
        return self._of(self.builder.select(condition, self.value, self.constant(other)))

    def polynomial(self, coefficients: Sequence[float]) -> Lanes:
        """``c[0] + c[1] * self + c[2] * self**2 + ...`` by Horner's scheme."""
        result = self.spread(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = result.fma(self, coefficient)
        return result

    def constant(self, number: Lanes | float) -> Any:
        """What LLVM calls a number in every lane, or other lanes."""
        if isinstance(number, Lanes):
            return number.value
        kind = self.value.type
        return ir.Constant(kind, [number] * kind.count)

    def _of(self, value: Any) -> Lanes:
        return Lanes(self.builder, value)

    def _call(self, name: str, *operands: Lanes | float) -> Lanes:
        others = [self.constant(operand) for operand in operands]
        return self._of(call_llvm(self.builder, name, self.value, *others))


class PowerOfTwo:
    """``2**n`` for whole numbers n, given as `Lanes` to which 1.5 times 2^23 or 2^52 was added.

    The last bits of the sum are n, so that it need not be converted: AVX2 cannot in float64.
    """

    def __init__(self, shifted: Lanes) -> None:
        self.shifted, self.builder = shifted, shifted.builder
        self.place, self.one = {32: (23, 127 << 23), 64: (52, 1023 << 52)}[shifted.bits]
        self.whole = ir.VectorType(ir.IntType(shifted.bits), shifted.value.type.count)

    @staticmethod
    def shift(bits: int) -> float:
        """What is added to a small number to have it rounded to a whole one in the last bits."""
        return {32: 1.5 * 2**23, 64: 1.5 * 2**52}[bits]

    @property
    def n(self) -> Lanes:
        """The exponents."""
        return self.shifted - self.shift(self.shifted.bits)

    def itself(self) -> Lanes:
        """``2**n``, for n within the exponents of normal numbers."""
        return self._power(self._bits(self.shifted))

    def times(self, factor: Lanes) -> Lanes:
        """``2**n * factor``, rounded once, even where that is subnormal or infinite.

        In two factors, because 2^n alone would leave the exponents of the type before the product
        does.
        """
        half = self._bits(self.n.fma(0.5, self.shift(self.shifted.bits)))
        rest = self.builder.sub(self._bits(self.shifted), half)
        return factor * self._power(half) * self._power(rest)

    def _bits(self, lanes: Lanes) -> Any:
        return self.builder.bitcast(lanes.value, self.whole)

    def _power(self, bits: Any) -> Lanes:
        moved = self.builder.shl(bits, self._number(self.place))
        power = self.builder.add(moved, self._number(self.one))
        return Lanes(self.builder, self.builder.bitcast(power, self.shifted.value.type))

    def _number(self, value: int) -> Any:
        return ir.Constant(self.whole, [value] * self.whole.count)


def formula(vector: Any, function: Callable[[Lanes], Lanes]) -> Any:
    """What an intrinsic gives back that computes a function of one vector."""
    return lane_by_lane(vector, 1, lambda builder, x: function(Lanes(builder, x)).value)


def within(result: Lanes, inside: Any, limit: Lanes | float, x: Lanes) -> Lanes:
    """`result` inside of a range, elsewhere a limit; where x is NaN it stays so."""
    return x.where(x.is_nan(), result.where(inside, limit))
