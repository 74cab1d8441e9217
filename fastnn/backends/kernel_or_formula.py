"""How an engine's primitive takes a kernel where that fits, and the formula where it does not.

A kernel takes arrays of some dtypes and layouts. An override says in one line which, and is only
called for those; anything else goes to the primitive that it overrides::

    @kernel_for(lambda x, out: same_floats(x) and fills(out, x.shape, x.dtype))
    def relu(self, x, *, out=None):
        ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

import numpy as np

from fastnn.backends.arrays import Array

FLOATS = frozenset({np.dtype("float32"), np.dtype("float64")})
"""What kernels compute in."""

Primitive = TypeVar("Primitive", bound=Callable[..., Any])


def kernel_for(fits: Callable[..., bool]) -> Callable[[Primitive], Primitive]:
    """Call a method of a backend only for arguments that `fits` says its kernel takes.

    `fits` is given the arguments of the method, by position and in order, without the backend.
    """

    def decorate(method: Primitive) -> Primitive:
        choose = _with_signature_of(method, _CHOOSE)
        choose.__globals__.update(fits=fits, method=method, overridden_by=_overridden_by)
        return functools.wraps(method)(choose)  # type: ignore[return-value]

    return decorate


_CHOOSE = """
def choose({signature}):
    if fits({positions}):
        return method({backend}, {arguments})
    return overridden_by(method, type({backend}))({backend}, {arguments})
"""


def _with_signature_of(method: Callable[..., Any], source: str) -> FunctionType:
    """Make a function of a text with the parameters of `method` in it, and its defaults.

    One that takes ``*arguments, **options`` and hands them on takes a third of a microsecond
    longer, at each of the ten primitives of a gradient.
    """
    parameters = list(inspect.signature(method).parameters.values())
    bare = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
    backend, *names = [parameter.name for parameter in parameters]
    by_name = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    text = source.format(
        signature=str(inspect.Signature([p.replace(default=p.empty) for p in bare]))[1:-1],
        positions=", ".join(names),
        backend=backend,
        arguments=", ".join(f"{name}={name}" if name in by_name else name for name in names),
    )
    variables: dict[str, Any] = {}
    exec(text, variables)  # as dataclasses do
    function: FunctionType = next(f for f in variables.values() if isinstance(f, FunctionType))
    function.__defaults__, function.__kwdefaults__ = method.__defaults__, method.__kwdefaults__
    return function


def _overridden_by(method: Callable[..., Any], cls: type) -> Callable[..., Any]:
    """Give what a method overrides, in a class that inherits it."""
    owner, _, name = method.__qualname__.rpartition(".")
    order = iter(cls.__mro__)
    next(base for base in order if base.__qualname__ == owner)
    return next(vars(base)[name] for base in order if name in vars(base))  # type: ignore[no-any-return]


def same_floats(*arrays: Array) -> bool:
    """Whether arrays are all of float32, or all of float64."""
    dtype = arrays[0].dtype
    for array in arrays[1:]:  # a generator would take three times as long, at each call
        if array.dtype != dtype:
            return False
    return dtype in FLOATS


def same_floats_as_gradient(W: Array, dW: Any, *state: Array) -> bool:
    """`same_floats` of a parameter, its gradient and state; a user's layer may give a number."""
    return hasattr(dW, "dtype") and same_floats(W, dW, *state)


def contiguous(*arrays: Array) -> bool:
    """Whether arrays lie in C order."""
    for array in arrays:  # noqa: SIM110 - see above
        if not array.flags.c_contiguous:
            return False
    return True


def of_one_shape(*arrays: Array) -> bool:
    """Whether arrays are of the same shape; the formula knows what to say where they are not."""
    shape = arrays[0].shape
    for array in arrays[1:]:  # noqa: SIM110 - see above
        if array.shape != shape:
            return False
    return True


def fills(out: Array | None, shape: tuple[int, ...], dtype: Any) -> bool:
    """Whether a kernel can write a result to `out`; it makes an array if there is none."""
    return out is None or bool(out.shape == shape and out.dtype == dtype and out.flags.c_contiguous)
