"""How an engine's primitive takes a kernel where that fits, and the formula where it does not.

A kernel takes arrays of some dtypes and layouts. An override says in one line which, and is only
called for those; anything else goes to the primitive that it overrides::

    @kernel_for(lambda x, *, out=None: same_floats(x) and fills(out, x.shape, x.dtype))
    def relu(self, x, *, out=None):
        ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastnn.backends.arrays import Array

FLOATS = frozenset({np.dtype("float32"), np.dtype("float64")})
"""What kernels compute in."""

Primitive = TypeVar("Primitive", bound=Callable[..., Any])


def kernel_for(fits: Callable[..., bool]) -> Callable[[Primitive], Primitive]:
    """Call a method of a backend only for arguments that `fits` says its kernel takes."""

    def decorate(method: Primitive) -> Primitive:
        @functools.wraps(method)
        def choose(backend: Any, *arguments: Any, **options: Any) -> Any:
            if fits(*arguments, **options):
                return method(backend, *arguments, **options)
            return _overridden_by(method, type(backend))(backend, *arguments, **options)

        return choose  # type: ignore[return-value]

    return decorate


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


def contiguous(*arrays: Array) -> bool:
    """Whether arrays lie in C order."""
    for array in arrays:  # noqa: SIM110 - see above
        if not array.flags.c_contiguous:
            return False
    return True


def fills(out: Array | None, shape: tuple[int, ...], dtype: Any) -> bool:
    """Whether a kernel can write a result to `out`; it makes an array if there is none."""
    return out is None or bool(out.shape == shape and out.dtype == dtype and out.flags.c_contiguous)
