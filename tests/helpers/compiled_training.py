"""Training in compiled code beside the loop over NumPy, for networks of any shape.

Run as a script it takes a list of awkward shapes, or those of a range of seeds, with buffers that
end (or begin) at a page that may not be touched, or, under ``NUMBA_BOUNDSCHECK=1``, with Numba's
checks; or as if the host's registers were narrower than they are.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from fastnn.kernels.cpu import strips
from fastnn.kernels.cpu.compressed import Compressed

import fastnn
from fastnn.backends.loop import Loop
from fastnn.backends.numba import compression
from fastnn.backends.numba import layout as numba_layout
from fastnn.backends.numba import runner as numba_runner
from fastnn.backends.numba.layout import Layout
from fastnn.backends.numba.runner import CompiledStep
from fastnn.backends.plan import StepPlan
from fastnn.training.planner import make_plan
from tests.helpers.problems import data_set as data_set
from tests.helpers.random_networks import sizes as widths

BOUNDS = {"float64": 1e-12, "float32": 4e-6}
SIZES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 49, 50, 51, 63, 64, 65, 255, 256, 257)
WIDE_INPUTS = (783, 784, 785)


def plan_of(
    sizes: tuple[int, ...], x: Any, t: Any, batch: int, dtype: str, backend: str, scale: float = 1
) -> StepPlan:
    """The step plan of a network of these sizes, with parameters of its own."""
    with fastnn.use_backend(backend):
        network = fastnn.MultiLayerNet(sizes[0], sizes[1:-1], sizes[-1], dtype=dtype, seed=1)
    for name, array in network.params.items():
        if name.startswith("b"):
            array += np.linspace(-0.1, 0.1, array.size).astype(dtype)
    data = x if x.dtype.kind in "iu" else x.astype(dtype)
    return make_plan(network, data, t, fastnn.SGD(0.1), batch, scale)


def compiled(plan: StepPlan) -> CompiledStep:
    """The plan compiled as a whole, and nothing else."""
    runner = fastnn.backends.selection.load_backend("numba").compile(plan)
    assert isinstance(runner, CompiledStep)
    return runner


def differences(
    sizes: tuple[int, ...], x: Any, t: Any, rows: list[Any], dtype: str, lr: float = 0.1
) -> tuple[float, Any, StepPlan]:
    """Largest error of losses and parameters, relative to the largest of each, after some runs."""
    batch = max(some.shape[1] for some in rows)
    fast, slow = (plan_of(sizes, x, t, batch, dtype, name) for name in ("numba", "numpy"))
    runner, loop = compiled(fast), Loop(fastnn.backends.selection.load_backend("numpy"), slow)
    with np.errstate(all="ignore"):
        losses = [
            np.concatenate([r.run(some, {"lr": lr}) for some in rows]) for r in (runner, loop)
        ]
    runner.flush()
    errors = [relative(*losses), error_of_counts(runner, fast, x, t)]
    for name in slow.arrays:
        if name not in ("x_data", "t_data"):
            errors.append(relative(fast.arrays[name], slow.arrays[name]))
    return max(errors), losses[0], fast


def error_of_counts(runner: CompiledStep, plan: StepPlan, x: Any, t: Any) -> float:
    """How far the counts of right answers are off; 0 up to a sample whose scores are a tie."""
    counts = [runner.counter(), runner.counter((x.astype(plan.dtype), t))]
    if counts == [None, None]:
        return 0.0
    scores = x
    with np.errstate(all="ignore"):
        for number in range(1, 1 + sum(name[0] == "W" for name in plan.arrays)):
            scores = scores if number == 1 else np.where(scores <= 0, 0, scores)
            scores = scores @ plan.arrays[f"W{number}"].astype("float64")
            scores = scores + plan.arrays[f"b{number}"]
    right = int((np.argmax(scores, axis=1) == t).sum())
    return max(abs(count() - right) for count in counts if count is not None) // 2


def relative(found: Any, right: Any) -> float:
    """Largest error relative to the largest entry; infinite if others are NaN or infinite."""
    if not np.array_equal(np.isfinite(found), np.isfinite(right)):
        return np.inf
    finite = np.isfinite(right)
    if not finite.any():
        return 0.0
    scale = np.max(np.abs(right[finite])) or 1.0
    return float(np.max(np.abs(found[finite].astype("float64") - right[finite])) / scale)


def awkward_cases() -> list[tuple[tuple[int, ...], int]]:
    """Sizes of networks, each size in each role, and of batches."""
    cases: list[tuple[tuple[int, ...], int]] = []
    for size in SIZES:
        cases += [((size, 50, 10), 7), ((20, size, 10), 5), ((20, 30, size), 9), ((size, 10), 3)]
        cases += [((9, 300, size), 4), ((9, size, size, 2), 6)]
    for size in WIDE_INPUTS:
        cases += [((size, 50, 10), 33), ((size, 260, 11), 8), ((size, 10), 2)]
    cases += [((30, 20, 10), batch) for batch in range(1, 130, 8)]
    cases += [((30, 400, 10), batch) for batch in (127, 128, 129, 256, 300)]
    return cases


def guarded(array: Any, *, at_end: bool) -> Any:
    """Copy an array to memory between two pages that may not be touched, flush with one of them."""
    page, size = mmap.PAGESIZE, max(1, array.nbytes)
    inner = -(-size // page) * page
    region = mmap.mmap(-1, inner + 2 * page)
    _regions.append(region)
    start = ctypes.addressof(ctypes.c_char.from_buffer(region))
    library = ctypes.CDLL(None, use_errno=True)
    for guard in (start, start + page + inner):
        if library.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = page + (inner - size if at_end else 0)
    copy = np.frombuffer(region, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


_regions: list[mmap.mmap] = []


def guard_everything(*, at_end: bool) -> None:
    """Let every array that a kernel is given lie beside a page that may not be touched."""

    def place(array: Any) -> Any:
        return guarded(np.ascontiguousarray(array), at_end=at_end)

    numba_layout.aligned = lambda count, dtype: place(np.zeros(count, dtype))
    whole: Callable[..., None] = CompiledStep.__init__

    def initialise(self: CompiledStep, *arguments: Any) -> None:
        whole(self, *arguments)
        self.labels, self.block_starts = place(self.labels), place(self.block_starts)
        if self.compressed:
            self.norms, self.bounds = place(self.norms), place(self.bounds)
        else:
            self.x = place(self.x)

    CompiledStep.__init__ = initialise  # type: ignore[assignment,method-assign]
    compress = compression.compress

    def compress_guarded(x: Any, block_starts: Any, scale: Any) -> Compressed:
        data = compress(place(x), place(block_starts), scale)
        return Compressed(*[place(part) for part in data[:-2]], *data[-2:])

    vars(numba_runner)["compress"] = compress_guarded
    rooms = Layout.rooms

    def guarded_rooms(self: Layout, threads: int) -> list[tuple[Any, Any]]:
        return [(place(records), place(s).reshape(())) for records, s in rooms(self, threads)]

    Layout.rooms = guarded_rooms  # type: ignore[method-assign]


def random_cases(seeds: range) -> Iterator[tuple[tuple[int, ...], int]]:
    """Sizes of a network, and of batches, for each seed."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        yield tuple(widths(rng)), int(rng.integers(1, 140))


def main(mode: str, seeds: range | None = None) -> None:
    if mode == "narrower":
        assert strips.TILE_BYTES < strips.STRIP_BYTES
    if mode != "checked":
        guard_everything(at_end=mode != "start")
    cases = awkward_cases() if seeds is None else random_cases(seeds)
    kinds = ["float32"] if mode in ("checked", "narrower") else ["float32", "float64"]
    for (sizes, batch), density, dtype in itertools.product(cases, (0.2, 1.0), kinds):
        x, t = data_set(2 * batch + 1, sizes[0], sizes[-1], density=density)
        order = np.random.default_rng(1).permutation(len(x))
        rows = [order[: 2 * batch].reshape(2, batch), order[2 * batch :][None]]
        if mode in ("end", "narrower"):
            rows = [guarded(some, at_end=True) for some in rows]
        error, _, _ = differences(sizes, x, t, rows, dtype)
        assert error <= BOUNDS[dtype], (sizes, batch, density, dtype, error)
        _regions.clear()
    if mode == "checked":
        see_that_bounds_are_checked()
    print("done")


def see_that_bounds_are_checked() -> None:
    """A position that does not exist has to raise, or the run above has proved nothing."""
    x, t = data_set(9, 20, 3)
    runner = compiled(plan_of((20, 30, 3), x, t, 4, "float32", "numba"))
    count = runner.counter()
    assert count is not None
    runner.data.positions[:] = 60_000
    for wrong in (lambda: runner.run(np.arange(4)[None], {"lr": 0.1}), count):
        try:
            wrong()
        except IndexError:
            continue
        raise AssertionError("an address out of bounds was not noticed")


if __name__ == "__main__":
    main(sys.argv[1], range(*map(int, sys.argv[2:])) if sys.argv[2:] else None)
