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

TYPES = ("float", "double")

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


def between(T: str) -> tuple[str, ...]:
    """Give what may stand between layers: every activation, and dropout behind some of them."""
    activations = [
        f"{name}<{T}>" for name in ("Identity", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Gelu")
    ]
    return (*activations, *(f"Dropped<{T}, {inner}>" for inner in activations[1::2]))


def losses(T: str) -> tuple[str, ...]:
    """Give the losses, with weights of samples and without."""
    softmax, *of_outputs = (
        f"{name}<{T}>"
        for name in (
            "SoftmaxCrossEntropy", "SigmoidCrossEntropy", "SquaredError", "PoissonDeviance",
        )
    )  # fmt: skip
    weighted = (f"Weighted<{T}, {inner}>" for inner in (softmax, of_outputs[0]))
    return (softmax, *of_outputs, *weighted)


def heads(T: str) -> list[str]:
    """Give heads in which every part that there is comes up."""
    first, *others = losses(T)
    pairs = [(each, first) for each in between(T)] + [(between(T)[1], each) for each in others]
    return [f"head<{T}, {before}, {loss}>" for before, loss in pairs]


INSTANTIATIONS = {
    "product": [
        *[f"gather_product<{T}, {D}>" for T in ("float", "double") for D in ROWS_OF[T]],
        *[f"hidden_product<{T}, {before}>" for T in TYPES for before in between(T)],
        *[f"matrix_product<{T}>" for T in ("float", "double")],
        *[f"finish<{T}, {name}<{T}>>" for T in TYPES for name in ("Identity", "Relu")],
    ],
    "head": [expression for T in TYPES for expression in heads(T)],
    "loss": [f"loss<{T}, {loss}>" for T in TYPES for loss in losses(T)],
    "back": [f"back<{T}, {before}>" for T in TYPES for before in between(T)],
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
                "softmax_cross_entropy", "softmax_cross_entropy_backward",
                "difference_over_samples", "count_correct", "mean",
            )
            for T in ("float", "double")
        ],
        *[f"loss_of_outputs<{T}, {loss}>" for T in TYPES for loss in losses(T)[1:4]],
        *[f"take_rows<{T}, {D}>" for T in ("float", "double") for D in (T, "unsigned char")],
        "take_rows<long long, long long>",
    ],
    "large": [
        *[f"gather<{T}, {D}>" for T in ("float", "double") for D in (T, "unsigned char")],
        *[f"bias_gradient<{T}>" for T in ("float", "double")],
    ],
    "activations": [
        f"{name}<{T}, {activation}>"
        for name in ("activate", "activate_backward")
        for T in TYPES
        for activation in between(T)[:6]
    ],
    "dropout": ["dropout<float>", "dropout<double>"],
    "normalization": [
        *[
            f"{name}<{T}, {behind.format(T=T)}>"
            for name in ("batch_norm", "batch_norm_backward")
            for T in ("float", "double")
            for behind in ("Identity<{T}>", "Relu<{T}>", "Dropped<{T}, Gelu<{T}>>")
        ],
        *[
            f"{name}<{T}>"
            for name in ("batch_norm_evaluation", "moving_average")
            for T in ("float", "double")
        ],
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
    "loss_of_outputs": 128, "difference_over_samples": 256,
    "take_rows": 256, "dropout": 256,
    "activate": 256, "activate_backward": 256,
    "batch_norm": 256, "batch_norm_backward": 256, "batch_norm_evaluation": 256,
    "moving_average": 256, "squared_sum": 256, "clip_factor": 32,
    "mean": 32, "gather": 256, "bias_gradient": 256,
}  # fmt: skip
DYNAMIC_SHARED = {"head": lambda itemsize: (50 * 11 + 2 * (50 + 10)) * itemsize}
"""Bytes that the launch adds, at the book's sizes."""

DOCUMENTED = (
    "gather_product<float, unsigned char>", "gather_product<double, unsigned char>",
    "gather_product<float, Neighbours<unsigned char, 4>>",
    "gather_product<double, Neighbours<unsigned char, 2>>",
    *[f"hidden_product<{T}, Relu<{T}>>" for T in TYPES],
    *[f"head<{T}, Relu<{T}>, SoftmaxCrossEntropy<{T}>>" for T in TYPES],
    *[f"loss<{T}, SoftmaxCrossEntropy<{T}>>" for T in TYPES],
    *[f"back<{T}, Relu<{T}>>" for T in TYPES],
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
