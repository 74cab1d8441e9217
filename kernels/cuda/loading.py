"""CUDA sources, compiled when first used.

Each ``*.cu`` stands by itself: the dozen lines at its top say what a block does. Put before it as
text are the sizes that it shares with its launcher (`fastnn.kernels.cuda.sizes`), ``step.cuh``, and
other `PIECES`. Nothing is included: CuPy keeps compiled kernels on disk by the text of their
source, and would not see a changed include.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import numpy as np
from fastnn.kernels.cuda.sizes import SIZES, WARP

HERE = Path(__file__).parent
SOURCES = tuple(SIZES)
"""Names of the files, without ``.cu``."""

PIECES = {
    "product": ("activations.cuh", "dropout.cuh"),
    "head": ("activations.cuh", "dropout.cuh", "losses.cuh"),
    "back": ("activations.cuh", "dropout.cuh"),
    "loss": ("losses.cuh",),
    "large": ("activations.cuh",),
    "primitives": ("losses.cuh",),
    "activations": ("activations.cuh",),
    "dropout": ("activations.cuh", "dropout.cuh"),
    "normalization": ("activations.cuh", "dropout.cuh"),
    "weights": ("rules.cuh", "update.cuh"),
    "clipping": ("rules.cuh",),
}
"""What a source is put together from besides ``step.cuh``, by its name."""

C_TYPES = {
    "float32": "float",
    "float64": "double",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int64": "long long",
}
"""The dtypes that kernels take, and their names in C++."""

OPTIONS = ("-std=c++17", "-lineinfo")
"""For NVRTC. Line numbers cost nothing at run time, and name the line in a debugger or profiler."""


def source(file: str) -> str:
    """Give the text of a source file as it is compiled."""
    named = {"WARP": WARP, **SIZES[file]}
    sizes = "".join(f"#define {name} {size}\n" for name, size in named.items())
    names = ("step.cuh", *PIECES.get(file, ()), f"{file}.cu")
    texts = [f'#line 1 "{name}"\n{(HERE / name).read_text(encoding="utf-8")}' for name in names]
    return sizes + "\n".join(texts)


def kernel(file: str, name: str, *dtypes: str) -> Any:
    """Give the kernel ``name<dtypes...>`` of a file, compiled for the current device.

    Parameters
    ----------
    file : str
        One of `SOURCES`.
    name : str
        Of the kernel.
    *dtypes : str
        Its template arguments: dtypes, such as "float32", or types of the source.

    Raises
    ------
    RuntimeError
        If the compiler refuses it; the message has the compiler's log.
    """
    import cupy

    return _compiled(file, name, dtypes, cupy.cuda.runtime.getDevice())


@functools.cache
def _compiled(file: str, name: str, dtypes: tuple[str, ...], device: int) -> Any:
    import cupy

    expression = f"{name}<{', '.join(C_TYPES.get(dtype, dtype) for dtype in dtypes)}>"
    module = cupy.RawModule(code=source(file), options=OPTIONS, name_expressions=(expression,))
    began = time.perf_counter()
    try:
        return module.get_function(expression)
    except cupy.cuda.compiler.CompileException as error:
        version = ".".join(map(str, cupy.cuda.nvrtc.getVersion()))
        raise RuntimeError(
            f"NVRTC {version} does not compile {expression} of {file}.cu for CUDA device {device}: "
            f"update the CUDA wheels together with CuPy. Its log:\n{error}"
        ) from error
    finally:
        _spent.append(time.perf_counter() - began)


def or_null(array: Any) -> Any:
    """Give what a kernel takes for an array, which may be None: then a null pointer."""
    return np.uintp(0) if array is None else array


_spent: list[float] = []
"""Seconds that each kernel took to compile, or to be read from CuPy's cache."""


def seconds_compiling() -> float:
    """Give the seconds that this process has spent compiling kernels so far."""
    return sum(_spent)
