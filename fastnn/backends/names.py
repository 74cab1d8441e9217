"""Suggestions for the name of a backend that does not exist."""

from __future__ import annotations

import difflib
import re

NAMES = ("cupy", "numba", "numpy", "auto")
OTHER_NAMES = {
    "np": "numpy", "nb": "numba", "cp": "cupy", "python": "numpy",
    "automatic": "auto", "default": "auto", "best": "auto",
}  # fmt: skip
CPU = ("cpu", "host", "processor", "blas", "mkl", "openblas")
GPU = ("gpu", "cuda", "nvidia", "device", "cublas", "cudnn", "geforce")
NOT_HERE = (
    "torch", "pytorch", "jax", "tensorflow", "tf", "keras", "flax", "mxnet", "paddle", "chainer",
    "theano", "tinygrad", "mlx", "mps", "metal", "apple", "rocm", "hip", "amd", "opencl", "vulkan",
    "xpu", "sycl", "oneapi", "directml", "dml", "tpu", "xla", "npu", "dask", "cython", "triton",
)  # fmt: skip
"""Libraries and devices that others compute on, and fastnn does not."""

ALIKE = 0.7
"""From which share of letters in common on a word is taken for another one mistyped."""


def what_was_meant(name: str) -> str:
    """Give a suggestion to append to the error about an unknown name; an empty text without one."""
    word, index = _parts(name)
    known = (*NAMES, *OTHER_NAMES, *CPU, *GPU, *NOT_HERE)
    if word not in known:
        nearest = difflib.get_close_matches(word, known, n=1, cutoff=ALIKE) if len(word) > 2 else []
        if not nearest:
            return ""
        word = nearest[0]
    if word in NOT_HERE:
        return (
            f"; fastnn does not compute on {word}: for an NVIDIA GPU choose 'cupy', for the CPU "
            "'numba' or 'numpy'"
        )
    if word in CPU:
        return (
            "; for the CPU choose 'numba', or 'numpy' where nothing may be compiled; 'auto' takes "
            "the best that can run"
        )
    if word in GPU:
        return f"; did you mean 'cupy{index}', for an NVIDIA GPU?"
    backend = OTHER_NAMES.get(word, word)
    return f"; did you mean '{backend}{index if backend == 'cupy' else ''}'?"


def _parts(name: str) -> tuple[str, str]:
    """Split a name in its word and the number of a device, ":1"; case and spaces do not count."""
    name = name[:40].strip().lower()
    word = name.rstrip("0123456789")
    number = name[len(word) :]
    return re.sub(r"[\W_]+$", "", word), f":{int(number)}" if number else ""
