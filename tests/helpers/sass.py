"""The machine code of a kernel, as `nvdisasm` shows it, and which loads are under way together.

No device is needed: NVRTC compiles for any architecture. `nvdisasm` comes with the package
nvidia-cuda-nvdisasm, or with a CUDA toolkit.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.helpers.gpu_resources import INSTANTIATIONS

INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?([A-Z][\w.]*)\s*([^;]*);")
"""Of a line: the operation with its modifiers, and the operands."""


def nvdisasm() -> str | None:
    """Give the path of `nvdisasm`; None if it is not installed."""
    spec = importlib.util.find_spec("nvidia")
    packages = spec.submodule_search_locations if spec else None
    found = [path for package in packages or () for path in Path(package).glob("*/bin/nvdisasm*")]
    return str(found[0]) if found else shutil.which("nvdisasm")


@functools.cache
def machine_code(file: str, architecture: int) -> dict[str, list[tuple[str, str]]]:
    """Compile a file for an architecture: each kernel's instructions, operation and operands."""
    from cupy.cuda import nvrtc
    from fastnn.kernels import cuda

    program = nvrtc.createProgram(cuda.source(file), f"{file}.cu", (), ())
    for expression in INSTANTIATIONS[file]:
        nvrtc.addNameExpression(program, expression)
    nvrtc.compileProgram(program, (*cuda.OPTIONS, f"--gpu-architecture=sm_{architecture}"))
    names = {}
    for expression in INSTANTIATIONS[file]:
        name = nvrtc.getLoweredName(program, expression)
        names[name.decode() if isinstance(name, bytes) else name] = expression
    binary = nvrtc.getCUBIN(program) + b"\0"  # CuPy takes the last byte for the end of a string
    nvrtc.destroyProgram(program)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernels.cubin")
        path.write_bytes(binary)
        command = [str(nvdisasm()), "-c", str(path)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    code: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        if section := re.match(r"\.text\.(\w+):", line):
            code[names[section[1]]] = current = []
        elif match := INSTRUCTION.match(line):
            current.append((match[1], match[2]))
    return code


def loads_under_way(code: list[tuple[str, str]]) -> list[int]:
    """Count loads from global memory that stand together, group after group.

    A group ends at the first instruction that names a register which one of its loads fills, since
    that has to wait, and at a barrier or the end of a function. Branches are passed over.
    """
    groups, size, filled = [], 0, set[str]()
    for operation, operands in code:
        named = set(re.findall(r"\bR\d+", operands))
        if filled & named or operation.partition(".")[0] in ("BAR", "EXIT", "CALL", "RET"):
            groups.append(size)
            size, filled = 0, set()
        if operation.startswith("LDG"):
            size += 1
            filled |= _destination(operation, operands)
    return [size for size in [*groups, size] if size]


def _destination(operation: str, operands: str) -> set[str]:
    """Name the registers that a load fills."""
    first = re.match(r"R(\d+)", operands)
    if first is None:
        return set()
    width = next((n for n in (128, 64) if f".{n}" in operation), 32) // 32
    return {f"R{int(first[1]) + i}" for i in range(width)}
