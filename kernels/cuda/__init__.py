"""CUDA kernels: the sources (``*.cu``), and beside each of them its launchers.

A launcher knows its kernel's grid, block, shared memory and the types of its arguments, which CuPy
hands over as raw bytes. It compiles the kernel for the current device when it is made.
"""

from fastnn.kernels.cuda.loading import (
    C_TYPES,
    HERE,
    OPTIONS,
    SOURCES,
    kernel,
    seconds_compiling,
    source,
)

__all__ = ["C_TYPES", "HERE", "OPTIONS", "SOURCES", "kernel", "seconds_compiling", "source"]
