"""What NVRTC and ptxas say of each kernel: registers, spills, shared memory, barriers.

No device is needed, NVRTC compiles for any architecture. ``bench/gpu_resources.py`` prints the
table of docs/gpu.md.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)

ROWS_OF = {
    T: (T, f"Neighbours<{T}, {n}>", "unsigned char", f"Neighbours<unsigned char, {n}>")
    for T, n in (("float", 4), ("double", 2))
}
"""Of a data set, by the network's dtype: number by number, or neighbours in one load."""
RULES = (
    "Decayed<{T}, Momentum<{T}>, false>", "Nesterov<{T}>", "AdaGrad<{T}>",
    "RMSprop<{T}>", "Penalised<{T}, Decoupled<{T}, Adam<{T}>, true>>",
)  # fmt: skip
CLIPPED_RULES = (
    "Clipped<{T}, Sgd<{T}>>", "Penalised<{T}, Clipped<{T}, Decoupled<{T}, Adam<{T}>, false>>>",
)  # fmt: skip
"""Each rule but SGD, and each of what may be around one."""

INSTANTIATIONS = {
    "product": [
        *[f"gather_product<{T}, {D}>" for T in ("float", "double") for D in ROWS_OF[T]],
        *[f"hidden_product<{T}>" for T in ("float", "double")],
        *[f"matrix_product<{T}>" for T in ("float", "double")],
        *[f"finish<{T}>" for T in ("float", "double")],
    ],
    "head": ["head<float>", "head<double>"],
    "loss": ["loss<float>", "loss<double>"],
    "back": ["back<float>", "back<double>"],
    "weights": [
        *[
            f"update_weights<{T}, {D}, Sgd<{T}>>" for T in ("float", "double") for D in ROWS_OF[T]
        ],
        *[
            f"update_weights<{T}, {ROWS_OF[T][-1]}, {rule.format(T=T)}>"
            for T in ("float", "double")
            for rule in (*RULES, *CLIPPED_RULES)
        ],
        *[
            f"update_clipped<{T}, {rule.format(T=T)}>"
            for T in ("float", "double")
            for rule in CLIPPED_RULES
        ],
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
                "softmax_cross_entropy", "softmax_cross_entropy_backward", "sigmoid_cross_entropy",
                "squared_error", "difference_over_samples", "count_correct", "mean",
            )
            for T in ("float", "double")
        ],
        *[f"take_rows<{T}, {D}>" for T in ("float", "double") for D in (T, "unsigned char")],
        "take_rows<long long, long long>",
    ],
    "large": [
        *[f"gather<{T}, {D}>" for T in ("float", "double") for D in (T, "unsigned char")],
        *[f"bias_gradient<{T}>" for T in ("float", "double")],
        *[f"through_relu<{T}>" for T in ("float", "double")],
    ],
    "activations": [
        f"{name}<{T}>"
        for name in (
            "sigmoid", "sigmoid_backward", "tanh_forward", "tanh_backward", "leaky_relu",
            "leaky_relu_backward", "gelu", "gelu_backward",
        )
        for T in ("float", "double")
    ],
    "dropout": ["dropout<float>", "dropout<double>"],
    "normalization": [
        f"{name}<{T}>"
        for name in (
            "batch_norm", "batch_norm_backward", "batch_norm_evaluation", "moving_average",
        )
        for T in ("float", "double")
    ],
    "clipping": [
        f"{name}<{T}>" for name in ("squared_sum", "clip_factor") for T in ("float", "double")
    ],
}  # fmt: skip
"""Every kernel, for both dtypes and for data sets of floats and of bytes."""

THREADS_OF_A_BLOCK = {
    "gather_product": 128, "hidden_product": 128, "matrix_product": 128, "finish": 256,
    "head": 512, "loss": 128, "back": 128, "update_weights": 128, "weight_gradients": 128,
    "update_clipped": 128,
    "begin": 1, "next_batch": 128, "keep_loss": 1,
    "softmax_cross_entropy": 128, "softmax_cross_entropy_backward": 256, "count_correct": 128,
    "sigmoid_cross_entropy": 128, "squared_error": 128, "difference_over_samples": 256,
    "take_rows": 256, "dropout": 256,
    "sigmoid": 256, "sigmoid_backward": 256, "tanh_forward": 256, "tanh_backward": 256,
    "leaky_relu": 256, "leaky_relu_backward": 256, "gelu": 256, "gelu_backward": 256,
    "batch_norm": 256, "batch_norm_backward": 256, "batch_norm_evaluation": 256,
    "moving_average": 256, "squared_sum": 256, "clip_factor": 32,
    "mean": 32, "gather": 256, "bias_gradient": 256, "through_relu": 256,
}  # fmt: skip
DYNAMIC_SHARED = {"head": lambda itemsize: (50 * 11 + 2 * (50 + 10)) * itemsize}
"""Bytes that the launch adds, at the book's sizes."""

DOCUMENTED = (
    "gather_product<float, unsigned char>", "gather_product<double, unsigned char>",
    "gather_product<float, Neighbours<unsigned char, 4>>",
    "gather_product<double, Neighbours<unsigned char, 2>>",
    "hidden_product<float>", "hidden_product<double>", "head<float>", "head<double>",
    "loss<float>", "loss<double>", "back<float>", "back<double>",
    "update_weights<float, unsigned char, Sgd<float>>",
    "update_weights<double, unsigned char, Sgd<double>>",
    "update_weights<float, Neighbours<unsigned char, 4>, Sgd<float>>",
    "update_weights<double, Neighbours<unsigned char, 2>, Sgd<double>>",
)  # fmt: skip
DOCUMENTED_ARCHITECTURES = (75, 80, 90)

BLOCKS = {75: 16, 80: 32, 90: 32}
WARPS = {75: 32, 80: 64, 90: 64}
SHARED = {75: 64, 80: 164, 90: 228}
"""Of a multiprocessor, at most: blocks, warps, and KiB of shared memory (CUDA C++ Programming
Guide, technical specifications by compute capability). All have 65536 registers."""


@dataclass(frozen=True)
class Resources:
    """Of one kernel on one architecture, as ptxas reports them."""

    registers: int
    spilled: int  # bytes stored and loaded
    stack: int
    shared: int  # bytes, static
    barriers: int


@functools.cache
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
    expressions = {
        (name.decode() if isinstance(name, bytes) else name): expression
        for name, expression in names.items()
    }
    found: dict[str, Resources] = {}
    rest: list[str] = []
    current, stack, spilled = "", 0, 0
    for line in log.replace("\0", "").splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            current = expressions[match[1]]
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)", line):
            stack, spilled = int(match[1]), int(match[2]) + int(match[3])
        elif match := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            barriers = re.search(r"used (\d+) barriers", line)
            found[current] = Resources(
                int(match[1]), spilled, stack,
                int(shared[1]) if shared else 0, int(barriers[1]) if barriers else 0,
            )  # fmt: skip
        elif (
            not re.search(r"ptxas info|Function properties|^\s*$|Compile time", line)
            or "warning" in line.lower()
        ):
            rest.append(line)
    return found, "\n".join(rest)


def occupancy(used: Resources, threads: int, dynamic: int, architecture: int) -> tuple[int, int]:
    """Give the blocks of a multiprocessor, and the warps it then has, in percent of its most.

    Registers are given out by the warp, in units of 256; shared memory in units of 256 bytes (128
    from 8.0 on), with 1 KiB a block on top of it from 8.0 on.
    """
    warps = -(-threads // 32)
    by_registers = 65536 // (-(-used.registers * 32 // 256) * 256) // warps
    reserved = 1024 if architecture >= 80 else 0
    shared = -(-(used.shared + dynamic + reserved) // 256) * 256
    by_shared = SHARED[architecture] * 1024 // shared if shared else by_registers
    blocks = min(by_registers, by_shared, WARPS[architecture] // warps)
    blocks = min(blocks, BLOCKS[architecture])
    return blocks, round(100 * blocks * warps / WARPS[architecture])


def nvrtc_version() -> str:
    """Give NVRTC's version."""
    from cupy.cuda import nvrtc

    return ".".join(map(str, nvrtc.getVersion()))


def documented_rows() -> list[str]:
    """Make the rows of the table in docs/gpu.md."""
    found: dict[tuple[str, int], Resources] = {}
    for file in ("product", "head", "loss", "back", "weights"):
        for architecture in DOCUMENTED_ARCHITECTURES:
            for expression, used in compile_for(file, architecture)[0].items():
                found[expression, architecture] = used
    rows = []
    for expression in DOCUMENTED:
        name = expression.partition("<")[0]
        threads = 64 if name == "head" else THREADS_OF_A_BLOCK[name]
        itemsize = 8 if "double" in expression else 4
        dynamic = DYNAMIC_SHARED[name](itemsize) if name in DYNAMIC_SHARED else 0
        some = [found[expression, architecture] for architecture in DOCUMENTED_ARCHITECTURES]
        registers = " / ".join(str(used.registers) for used in some)
        shared = " / ".join(sorted({str(used.shared + dynamic) for used in some}))
        barriers = some[0].barriers
        full = [
            "{} ({} %)".format(*occupancy(used, threads, dynamic, architecture))
            for used, architecture in zip(some, DOCUMENTED_ARCHITECTURES, strict=True)
        ]
        rows.append(
            f"| `{expression}` | {threads} | {registers} | 0 | {shared} | {barriers} | "
            f"{' / '.join(full)} |"
        )
    return rows
