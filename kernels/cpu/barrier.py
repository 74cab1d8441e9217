"""Where the threads of a step meet.

Two threads that share a step of 40 microseconds have to meet twice in it, so a lock of the
operating system (some 10 us to wake a thread) is too slow: they spin on a number in memory. A
thread that has spun for long gives the processor away, so that a machine with more threads than
cores still gets on. A thread that will never come (it could not be started) is made up for by
`abort`: everybody leaves, having written nothing since the last meeting. Whoever wants them to stop
between two steps writes to ``barrier[REQUESTED]``. Only the first thread reads that, between two
meetings, and tells the others, who read it behind the second of them: so all stop at one step.

Numba's own ``parallel=True`` was not taken: it starts and joins its threads at every loop, its
cached functions have known faults (numba#8085, #6845, #4807), and it would be a second pool.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from fastnn.kernels.cpu.compiler import inline_kernel, inner_kernel
from fastnn.kernels.cpu.net import CACHE_LINE
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

Array = Any

# Places in a barrier, an int64 array, each on a cache line of its own.
ARRIVED, GENERATION, ABORTED, REQUESTED, STOPPING, SIZE = (
    place * CACHE_LINE // 8 for place in range(6)
)
SPINS = 4000


@inner_kernel
def meet(barrier: Array, threads: int, give_way: int) -> Any:
    """Wait until all `threads` are here; False if one never will be.

    `give_way` is the address of the system's function that lets another thread run; see
    `address_of_give_way`.
    """
    if threads == 1:
        return True
    generation = atomic_load(barrier, GENERATION)
    if atomic_add(barrier, ARRIVED, 1) == threads - 1:
        atomic_store(barrier, ARRIVED, 0)
        atomic_store(barrier, GENERATION, generation + 1)
        return True
    spins = 0
    while atomic_load(barrier, GENERATION) == generation:
        if atomic_load(barrier, ABORTED) != 0:
            # Unless it was the others' last meeting, and the one that aborts has left since.
            return atomic_load(barrier, GENERATION) != generation
        spins += 1
        if spins < SPINS:
            pause()
        else:
            call(give_way)
    return True


@inline_kernel
def pass_request_on(barrier: Array) -> None:
    """Tell everybody, if somebody wants them to stop; called by one thread between two meetings."""
    if atomic_load(barrier, REQUESTED) != 0:
        atomic_store(barrier, STOPPING, 1)


@inline_kernel
def stopping(barrier: Array) -> Any:
    """Whether this step is the last; called after its last meeting."""
    return atomic_load(barrier, STOPPING) != 0


def abort(barrier: Array) -> None:
    """Make everybody leave who waits at a barrier, or will."""
    barrier[ABORTED] = 1


def address_of_give_way() -> int:
    """Address of ``sched_yield``, or of what takes its place."""
    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _place(context: Any, builder: Any, array_type: Any, array: Any, position: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [position])


@intrinsic
def atomic_add(typingctx: Any, array: Any, position: Any, number: Any) -> Any:
    """Add `number` to ``array[position]`` and give what was there before."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        place = _place(context, builder, array, *arguments[:2])
        return builder.atomic_rmw("add", place, arguments[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), generate


@intrinsic
def atomic_load(typingctx: Any, array: Any, position: Any) -> Any:
    """``array[position]``, and everything that was written before it was."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        return builder.load_atomic(_place(context, builder, array, *arguments), "seq_cst", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def atomic_store(typingctx: Any, array: Any, position: Any, number: Any) -> Any:
    """Write ``array[position]`` after everything that was written before."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        place = _place(context, builder, array, *arguments[:2])
        builder.store_atomic(arguments[2], place, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


@intrinsic
def pause(typingctx: Any) -> Any:
    """Tell the processor that this is a loop that waits, which takes some ten nanoseconds.

    ARM's own instruction for that, ``yield``, does nothing on most of its processors; ``isb`` lets
    all instructions before it end, which is what Rust's ``spin_loop`` takes as well.
    """

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        machine = builder.module.triple.split("-")[0]
        if machine == "x86_64":
            kind = ir.FunctionType(ir.VoidType(), [])
            name, operands = "llvm.x86.sse2.pause", []
        elif machine in ("aarch64", "arm64"):
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            name, operands = "llvm.aarch64.isb", [ir.IntType(32)(15)]
        else:
            return context.get_dummy_value()
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def call(typingctx: Any, address: Any) -> Any:
    """Call a C function without arguments at an address."""

    def generate(context: Any, builder: Any, signature: Signature, arguments: Any) -> Any:
        nothing = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(arguments[0], nothing.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.int64), generate
