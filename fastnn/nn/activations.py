"""Activations besides ReLU, which stands in `fastnn.nn.layers`.

Each goes through an input of any shape number by number. It keeps its output, if its derivative
follows from that, else its input; the formulas stand in `fastnn.backends.base`.
"""

from __future__ import annotations

from typing import ClassVar

from fastnn.backends.arrays import Array
from fastnn.checks import check_rate, common_dtype
from fastnn.nn.layer import Layer, check_shape, kept_by_forward
from fastnn.nn.layers import Relu


class ActivationByPrimitive(Layer):
    """An activation that is a primitive of the backend, and another one its gradient.

    Attributes
    ----------
    primitive : str
        The method of a backend; its gradient has ``_backward`` behind the name.
    kept : {"out", "x"}
        What that needs besides `dout`, by the attribute that has it: the last output or input.
    """

    parameters = ()
    primitive: ClassVar[str]
    kept: ClassVar[str] = "out"

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """See `Layer.forget`."""
        setattr(self, self.kept, None)

    def numbers(self) -> dict[str, float]:
        """Give what the primitives read besides the array."""
        return {}

    def forward(self, x: Array, *, for_backward: bool = True) -> Array:
        """Give the output, of the shape of `x` (any) and its dtype; NaN stays NaN.

        Without `for_backward` nothing is kept: no `backward` follows.

        Raises
        ------
        TypeError
            If `x` is on another device, or holds no real numbers.
        """
        self._check(x, "x")
        x = self.backend.astype(x, common_dtype([x]))
        out = getattr(self.backend, self.primitive)(x, **self.numbers())
        if for_backward:
            setattr(self, self.kept, out if self.kept == "out" else x)
        return out

    def backward(self, dout: Array) -> Array:
        """Give the gradient by the input, from that by the output.

        Raises
        ------
        RuntimeError
            If `forward` was not called before.
        TypeError
            If `dout` is on another device, or holds no real numbers.
        ValueError
            If it has another shape than the output.
        """
        self._check(dout, "dout")
        name = type(self).__name__
        kept = kept_by_forward(getattr(self, self.kept), name)
        check_shape(dout, tuple(kept.shape), name)
        dout = self.backend.astype(dout, common_dtype([dout]))
        backward = getattr(self.backend, f"{self.primitive}_backward")
        return backward(dout, kept, **self.numbers())


class Sigmoid(ActivationByPrimitive):
    """``1 / (1 + exp(-x))``, the logistic function.

    Attributes
    ----------
    out : array or None
        The last output.
    """

    primitive = "sigmoid"


class Tanh(ActivationByPrimitive):
    """The hyperbolic tangent.

    Attributes
    ----------
    out : array or None
        The last output.
    """

    primitive = "tanh"


class LeakyRelu(ActivationByPrimitive):
    """``x`` where it is positive, else ``slope * x`` (Maas, Hannun and Ng 2013).

    Parameters
    ----------
    slope : float, optional
        Finite and not negative. 0.01 as in PyTorch; Keras has 0.3.

    Attributes
    ----------
    out : array or None
        The last output.

    Raises
    ------
    TypeError, ValueError
        If `slope` is no such number.
    """

    options = ("slope",)
    primitive = "leaky_relu"

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope
        super().__init__()

    @property
    def slope(self) -> float:
        """What a negative input is multiplied by."""
        return self._slope

    @slope.setter
    def slope(self, value: float) -> None:
        self._slope = check_rate(value, "slope")

    def numbers(self) -> dict[str, float]:
        """See `ActivationByPrimitive.numbers`."""
        return {"slope": self.slope}

    def _described(self) -> list[str]:
        return [f"slope {self.slope}"]


class Gelu(ActivationByPrimitive):
    """``x * P(x)``, P being the normal distribution, ``(1 + erf(x / sqrt(2))) / 2``.

    Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415. Exact, as by default in PyTorch and
    Keras, not the approximation by tanh.

    Attributes
    ----------
    x : array or None
        The last input.
    """

    primitive = "gelu"
    kept = "x"


BY_PRIMITIVE: tuple[type[ActivationByPrimitive], ...] = (Sigmoid, Tanh, LeakyRelu, Gelu)

ACTIVATIONS: tuple[type[Layer], ...] = (Relu, *BY_PRIMITIVE)
"""Layers that go through their input number by number."""

WITH_KINK: tuple[type[Layer], ...] = (Relu, LeakyRelu)
"""Those whose derivative jumps where the input is 0."""
