"""What NVRTC and ptxas say of each kernel: registers, spills, shared memory, barriers.

No device is needed, NVRTC compiles for any architecture. ``python tests/gpu_resources.py`` prints
the table of docs/gpu.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)

INSTANTIATIONS = {
    "product": [
        *[f"gather_product<{T}, {D}>" for T in ("float", "double") for D in (T, "unsigned char")],
        *[f"hidden_product<{T}>" for T in ("float", "double")],
        *[f"plain_product<{T}>" for T in ("float", "double")],
        *[f"finish<{T}>" for T in ("float", "double")],
    ],
    "head": ["head<float>", "head<double>"],
    "loss": ["loss<float>", "loss<double>"],
    "back": ["back<float>", "back<double>"],
    "weights": [
        *[f"update_weights<{T}, {D}>" for T in ("float", "double") for D in (T, "unsigned char")],
        *[f"weight_gradients<{T}>" for T in ("float", "double")],
    ],
    "control": [
        f"{name}<{T}>"
        for name in ("begin", "next_batch", "keep_loss")
        for T in ("float", "double")
    ],
    "primitives": [
        *[
            f"{name}<{T}>"
            for name in (
                "softmax_cross_entropy", "softmax_cross_entropy_backward", "count_correct",
                "sgd_update",
            )
            for T in ("float", "double")
        ],
        *[f"take_rows<{T}, {D}>" for T in ("float", "double") for D in (T, "unsigned char")],
    ],
}  # fmt: skip
"""Every kernel, for both dtypes and for data sets of floats and of bytes (signed ones are alike)."""

THREADS_OF_A_BLOCK = {
    "gather_product": 128, "hidden_product": 128, "plain_product": 128, "finish": 256,
    "head": 128, "loss": 128, "back": 128, "update_weights": 128, "weight_gradients": 128,
    "begin": 1, "next_batch": 128, "keep_loss": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Resources:
    """Of one kernel on one architecture, as ptxas reports them."""

    registers: int
    spilled: int  # bytes stored and loaded
    stack: int
    shared: int  # bytes, static
    barriers: int


def compile_for(file: str, architecture: int) -> tuple[dict[str, Resources], str]:
    """Compile a file for an architecture: the kernels' resources, and what else the log says."""
    from cupy.cuda import nvrtc

    from fastnn.kernels import cuda

    program = nvrtc.createProgram(cuda.source(file), f"{file}.cu", (), ())
    names = {}
    for expression in INSTANTIATIONS[file]:
        nvrtc.addNameExpression(program, expression)
    options = (*cuda.OPTIONS, f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v")
    nvrtc.compileProgram(program, options)
    for expression in INSTANTIATIONS[file]:
        names[nvrtc.getLoweredName(program, expression)] = expression
    log = nvrtc.getProgramLog(program)
    nvrtc.destroyProgram(program)
    return read_log(log, names)


def read_log(log: str, names: dict[Any, str]) -> tuple[dict[str, Resources], str]:
    """Read ptxas's report."""
    plain = {
        (name.decode() if isinstance(name, bytes) else name): expression
        for name, expression in names.items()
    }
    found: dict[str, Resources] = {}
    rest: list[str] = []
    current, stack, spilled = "", 0, 0
    for line in log.replace("\0", "").splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            current = plain[match[1]]
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)", line):
            stack, spilled = int(match[1]), int(match[2]) + int(match[3])
        elif match := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            barriers = re.search(r"used (\d+) barriers", line)
            found[current] = Resources(
                int(match[1]), spilled, stack,
                int(shared[1]) if shared else 0, int(barriers[1]) if barriers else 0,
            )  # fmt: skip
        elif not re.search(
            r"ptxas info|Function properties|^\s*$|Compile time", line
        ) or "warning" in line.lower():
            rest.append(line)
    return found, "\n".join(rest)
