"""All kernels compiled for a processor that is not this one's, as far as object code.

Run as a script, ``record FILE [all]`` trains networks here and writes down for which types each
kernel was called; ``compile FILE TRIPLE CPU`` compiles those for another processor. For that Numba
is told that it runs on one: everything between a kernel's text and its object code is then as it
would be there. No process could do both, since what is compiled for this processor is inlined.
"""

from __future__ import annotations

import importlib
import itertools
import os
import pickle
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Signatures = dict[tuple[str, str], list[tuple[Any, ...]]]
"""The types of arguments that a kernel was called with, by its module and name."""

OF_THE_C_LIBRARY = ("memset", "memcpy", "memmove", "bzero", "exp", "expf", "log", "logf")
"""What LLVM calls where a kernel fills or copies memory, or takes exp or log of one number."""

MACHINES = {b"\x7fELF": (18, 183, 2), b"\xcf\xfa\xed\xfe": (4, 0x0100000C, 4)}
"""Where an object file says for which machine it is, and what it says for ARM's 64 bits."""


class Case(NamedTuple):
    """A network, and how it is trained. Between them they have each part of a compiled step."""

    hidden: tuple[int, ...] = (50,)
    activation: str = "relu"
    loss: str = "SoftmaxWithLoss"
    optimizer: str = "SGD"
    options: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it
    of_network: dict[str, Any] = {}  # noqa: RUF012
    inputs: str = "network's"
    weighted: bool = False


BOOK = Case()
CASES = [
    BOOK,
    Case(()),
    Case((400,), inputs="uint8"),
    Case((400, 8), "leaky_relu", "MeanSquaredError", "Momentum"),
    Case((65, 8), "sigmoid", "SigmoidWithLoss", "Nesterov", {"weight_decay": 0.1}),
    Case((30,), "tanh", optimizer="AdaGrad", weighted=True),
    Case((30,), optimizer="AdaGrad", inputs="compressed rows"),
    Case((30, 20), "gelu", optimizer="RMSprop", of_network={"weight_decay_lambda": 0.1}),
    Case(optimizer="Adam", of_network={"use_dropout": True, "use_batchnorm": True}),
    Case((400, 20), "gelu", "SigmoidWithLoss", "AdamW", {"clip_norm": 1.0}, {"use_dropout": True}),
    Case((20,), "tanh", "MeanSquaredError", "AdamW", {"decay_all": True, "weight_decay": 0.1}),
    Case((400,), "sigmoid", optimizer="Momentum", of_network={"use_batchnorm": True}),
    Case((20, 20), optimizer="SGD", options={"decay_all": True, "weight_decay": 0.1}),
    Case((16,), "leaky_relu", optimizer="SGD", options={"clip_norm": 1.0}, inputs="uint8"),
]


def kernels() -> Iterator[tuple[tuple[str, str], Any]]:
    """Give each kernel that Python calls."""
    import fastnn.kernels.cpu

    for found in pkgutil.iter_modules(fastnn.kernels.cpu.__path__, "fastnn.kernels.cpu."):
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if hasattr(value, "py_func") and value.__module__ == found.name:
                yield (found.name, name), value


def record(file: Path, everything: bool) -> None:
    """Train networks, call primitives, and write down what kernels were called with.

    The large kernels, which only tell how far they have come, are not run for that.
    """
    from fastnn.kernels.cpu import evaluation, step_dense, step_sparse, strips

    import fastnn
    from fastnn.backends.numba import compression, runner

    assert strips.TILE_BYTES < strips.STRIP_BYTES, "ARM's registers are narrower than 512 bits"
    vars(runner)["OPERATIONS_OF_A_THREAD"] = vars(compression)["INPUTS_OF_A_THREAD"] = 1e-9
    called: Signatures = {}
    for module in (step_dense, step_sparse):
        stand_in(module, "train", called)
    stand_in(evaluation, "count_right", called)
    fastnn.set_backend("numba")
    fastnn.set_num_threads(2)
    train(BOOK, "float32", 0.2)
    if everything:
        for number, case in enumerate(CASES):
            densities = (0.2, 1.0) if number % 2 else (1.0, 0.2)
            for dtype, density in zip(("float32", "float64"), densities, strict=True):
                train(case, dtype, density)
        train(Case((1,)), "float32", 0.0001, features=70_000)
        call_primitives()
    for place, kernel in kernels():
        called.setdefault(place, []).extend(getattr(kernel, "signatures", []))
    if everything:
        left_out = [".".join(place) for place, signatures in called.items() if not signatures]
        assert not left_out, f"{left_out} were not called"
    file.write_bytes(pickle.dumps(called))


def stand_in(module: Any, name: str, called: Signatures) -> None:
    """Put in the place of a kernel what writes down the types, and says that it is done."""
    import numba

    kernel = getattr(module, name)
    assert kernel.signatures == []

    def write_down(*arguments: Any) -> int:
        types = tuple(map(numba.typeof, arguments))
        seen = called.setdefault((module.__name__, name), [])
        if types not in seen:
            seen.append(types)
        run = arguments[-1]
        if name != "train":
            return 0
        run.losses[:] = 1
        return len(run.rows)

    vars(module)[name] = write_down


def train(case: Case, dtype: str, density: float, features: int = 30) -> None:
    """Do with a network what a script does."""
    import fastnn
    from fastnn.nn.optimizer_names import optimizer_class

    rng = np.random.default_rng(1)
    network = fastnn.MultiLayerNet(
        features, case.hidden, 3, case.activation, dtype=dtype, seed=1, **case.of_network
    )
    network.lastLayer = getattr(fastnn, case.loss)()
    optimizer: Any = optimizer_class(case.optimizer)(**case.options)
    x: Any = np.where(rng.random((48, features)) < density, rng.random((48, features)), 0)
    x = (255 * x).astype("uint8") if case.inputs == "uint8" else x.astype(dtype)
    if case.inputs == "compressed rows":
        x = importlib.import_module("scipy.sparse").csr_array(x)
    t: Any = rng.integers(0, 3, 48)
    if case.loss != "SoftmaxWithLoss":
        t = rng.random((48, 3)).round()
    weights = rng.random(48) if case.weighted else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastnn.TrainingWarning)
        fastnn.fit(
            network, x, t, batch_size=20, optimizer=optimizer, validation=(x, t), seed=1,
            sample_weight=weights, scale=1 / 255 if case.inputs == "uint8" else 1.0,
            progress=False,
        )  # fmt: skip


def call_primitives() -> None:
    """Call every primitive on both dtypes, with and without zeros to skip."""
    import fastnn
    from tests.helpers.primitives import CASES as PRIMITIVES
    from tests.helpers.primitives import run

    backend = fastnn.get_backend()
    rng = np.random.default_rng(1)
    for name, dtype in itertools.product(sorted(PRIMITIVES), ("float32", "float64")):
        for n, d, m in ((3, 7, 2), (50, 784, 50)):
            for case in PRIMITIVES[name](rng, n, d, m):
                run(backend, name, case, dtype)
    for dtype in ("float32", "float64"):
        network = fastnn.MultiLayerNet(784, [50], 10, dtype=dtype, seed=1)
        x = np.where(rng.random((100, 784)) < 0.2, 1, 0).astype(dtype)
        for labels in (np.arange(100) % 10, np.eye(10, dtype="uint8")[np.arange(100) % 10]):
            network.loss(x, labels)
            network.gradient(x, labels)


def compile_for(file: Path, triple: str, cpu: str) -> None:
    """Compile what was written down for another processor, and see that it is for that one.

    The object code is linked here, so a name that no system has, as that of a function that an
    instruction was expected of, ends the process.
    """
    objects = pretend(triple, cpu)
    from fastnn.kernels.cpu import strips
    from fastnn.kernels.cpu.machine_code import symbols
    from numba.core.registry import cpu_target

    here = cpu_target.target_context.codegen().magic_tuple()
    assert here == (triple, cpu, ""), here
    assert strips.TILE_BYTES == 64
    compiled = 0
    for (module, name), signatures in pickle.loads(file.read_bytes()).items():
        kernel = getattr(importlib.import_module(module), name)
        for signature in signatures:
            kernel.compile(signature)
            compiled += 1
    assert compiled > 0
    assert symbols._known
    assert len(objects) >= compiled + len(symbols._known)
    for code in objects:
        place, machine, size = MACHINES[code[:4]]
        assert int.from_bytes(code[place : place + size], "little") == machine
    see_how_threads_meet()
    print(f"{compiled} kernels that call {len(symbols._known)} others", file=sys.stderr)
    print("done")


def pretend(triple: str, cpu: str) -> list[bytes]:
    """Let Numba believe that this is another processor; give where object code is collected."""
    import llvmlite.binding as llvm

    os.environ |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    vars(llvm).update(get_process_triple=lambda: triple, get_default_triple=lambda: triple)
    from numba.core.codegen import JITCodeLibrary, JitEngine

    def make_known(name: str) -> None:
        address = llvm.address_of_symbol(name)
        if address:
            llvm.add_symbol(f"_{name}" if "darwin" in triple else name, address)

    add_module = JitEngine.add_module

    def add_with_names(engine: Any, module: Any) -> Any:
        named = itertools.chain(module.functions, module.global_variables)
        for name in (*OF_THE_C_LIBRARY, *(each.name for each in named if each.is_declaration)):
            make_known(name)
        return add_module(engine, module)

    JitEngine.add_module = add_with_names
    objects: list[bytes] = []
    keep = JITCodeLibrary._object_compiled_hook

    def collect(module: Any, code: bytes) -> None:
        objects.append(code)
        keep(module, code)

    JITCodeLibrary._object_compiled_hook = staticmethod(collect)
    return objects


def see_how_threads_meet() -> None:
    """Each load waits for what was stored before, which ARM does not do for loads and stores."""
    from fastnn.kernels.cpu import barrier
    from fastnn.kernels.cpu.compiler import kernel
    from numba import types

    def meet(place: Any) -> Any:
        barrier.atomic_add(place, 0, 1)
        barrier.atomic_store(place, 8, 1)
        barrier.pause()
        return barrier.atomic_load(place, 16)

    compiled = kernel(meet)
    compiled.compile((types.Array(types.int64, 1, "C"),))
    (result,) = compiled.overloads.values()
    words = re.findall(r"^\t(\w+)", result.library.get_asm_str(), re.MULTILINE)
    assert "ldaddal" in words or {"ldaxr", "stlxr"} <= set(words), words
    assert {"stlr", "stlur"} & set(words), words
    assert {"isb", "ldar"} <= set(words), words


if __name__ == "__main__":
    if sys.argv[1] == "record":
        record(Path(sys.argv[2]), sys.argv[3:] == ["all"])
        print("done")
    else:
        compile_for(Path(sys.argv[2]), *sys.argv[3:])
