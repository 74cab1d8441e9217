"""Graphs own the memory that they use, and give it back when they go."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import fastnn
from fastnn import Relu, Sequential, fit
from fastnn.backends.cupy.runner import CupyRunner
from tests.helpers.gpu import Problem, run_script, runner_of, simulator

pytestmark = pytest.mark.gpu


def state(runner: CupyRunner, losses: Any) -> list[bytes]:
    names = sorted(name for name in runner.plan.arrays if name[0] in "Wb")
    arrays = [losses, *(runner.plan.arrays[name] for name in names)]
    return [fastnn.to_numpy(array).tobytes() for array in arrays]


def without_graphs(cuda: Any, problem: Problem, rows: Any, *more: Any) -> list[bytes]:
    runner = runner_of(cuda, problem, *more)
    runner.uses_graphs = False
    losses = runner.run(rows, {"lr": 0.1})
    assert not runner.graphs
    return state(runner, losses)


# Whose memory it is

PRESSURE = """
    import cupy, numpy as np, fastnn, cupysim
    from tests.helpers.gpu import Problem
    from fastnn import SGD, CaptureWarning, Relu, Sequential
    from fastnn.backends.cupy.runner import CupyRunner
    from fastnn.training.planner import make_plan
    cuda = fastnn.set_backend("cupy", strict=True)
    runtime, pooled = cupy.cuda.runtime, cupy.cuda.get_allocator()
    problem = Problem([64, 128, 4], 400)

    def runner():
        network = problem.network(cuda, "float32")
        network = Sequential([*network.layers.values(), Relu()])
        x, t = cuda.asarray(problem.x), cuda.asarray(problem.t)
        return cuda.compile(make_plan(network, x, t, SGD(0.5), 400))

    def everything():
        size, taken = 1 << 26, []
        while size >= 512:
            try:
                taken.append(runtime.malloc(size))
            except runtime.CUDARuntimeError:
                size //= 2
        return taken

    rows = cuda.asarray(np.stack([problem.rows[0]] * 32))
    few = cupy.ascontiguousarray(rows[:, :50])
    for allocator in (pooled, None):
        cupy.cuda.set_allocator(allocator)
        expected = runner()
        expected.uses_graphs = False
        both = few, few[:5]
        right = [cuda.to_numpy(expected.run(some, {"lr": 0.1})) for some in (*both, *both)]
        del expected
        pressed = runner()
        found = [cuda.to_numpy(pressed.run(some, {"lr": 0.1})) for some in both]
        assert set(pressed.graphs) == {(50, 32), (50, 5)}
        cupy.get_default_memory_pool().free_all_blocks()
        spare = runtime.malloc(1 << 16)  # for the losses, not for a step
        taken = everything()
        runtime.free(spare)
        try:
            pressed.run(rows, {"lr": 0.1})
        except (MemoryError, runtime.CUDARuntimeError) as error:
            print("refused:", error)
        # Whoever uses what is left finds no block of the graph there.
        for pointer in taken:
            runtime.free(pointer)
        others = [cupy.full(1 << k, np.nan, "float32") for k in range(5, 20) for _ in range(3)]
        try:
            found.append(cuda.to_numpy(pressed.run(few, {"lr": 0.1})))
        except CaptureWarning as warning:  # an error here, before anything is queued
            print(warning)
            found.append(cuda.to_numpy(pressed.run(few, {"lr": 0.1})))
        found.append(cuda.to_numpy(pressed.run(few[:5], {"lr": 0.1})))
        assert set(pressed.graphs) == {(50, 32), (50, 5)}
        assert all(np.array_equal(one, other) for one, other in zip(found, right)), allocator
        assert all(bool(cupy.isnan(array).all()) for array in others)
        del pressed, others
    assert cupysim.counters().faults == 0
    print("unharmed")
"""


@pytest.mark.parametrize("lazy", ["0", "1"])
def test_a_graph_keeps_its_memory_when_there_is_no_more(lazy: str) -> None:
    simulator()
    said = run_script(PRESSURE, CUPYSIM_MEMORY=str(1 << 26), CUPYSIM_LAZY=lazy)
    assert said.count("refused: ") == said.count("could not be captured (") == 2
    assert "unharmed" in said


def test_a_limit_of_the_pool_holds_for_graphs(cuda: Any, numbers: Any) -> None:
    import cupy

    problem, rows = numbers
    pool = cupy.get_default_memory_pool()
    runner = runner_of(cuda, problem, Relu())
    used = pool.used_bytes()
    losses = runner.run(rows, {"lr": 0.1})
    assert list(runner.graphs) == [(20, 7)]
    assert pool.used_bytes() > used + losses.nbytes  # its temporaries are counted


@pytest.mark.parametrize("more", [(), (Relu,)], ids=["fused", "op by op"])
def test_two_runners_at_once(cuda: Any, numbers: Any, more: Any) -> None:
    import cupy

    problem, rows = numbers
    layers = [layer() for layer in more]
    expected = without_graphs(cuda, problem, rows, *layers)
    runners = [runner_of(cuda, problem, *layers) for _ in range(2)]
    losses: list[list[Any]] = [[], []]
    for some in (rows[:2], rows[2:4], rows[4:]):
        for runner, kept in zip(runners, losses, strict=True):
            kept.append(runner.run(some, {"lr": 0.1}))
            cupy.get_default_memory_pool().free_all_blocks()
    for runner, kept in zip(runners, losses, strict=True):
        assert set(runner.graphs) == {(20, 2), (20, 3)}
        assert state(runner, cupy.concatenate(kept)) == expected


@pytest.mark.parametrize("more", [(), (Relu,)], ids=["fused", "op by op"])
def test_a_runner_that_goes_leaves_nothing(cuda: Any, numbers: Any, more: Any) -> None:
    """At once, without a run of the garbage collector."""
    import cupy

    cupysim = simulator()
    problem, rows = numbers
    pool = cupy.get_default_memory_pool()
    gc.collect()
    pool.free_all_blocks()
    used, before = pool.used_bytes(), cupysim.counters()
    gc.disable()
    try:
        for _ in range(3):
            runner = runner_of(cuda, problem, *(layer() for layer in more))
            runner.run(rows, {"lr": 0.1})
            runner.run(rows[:, :5], {"lr": 0.1})
            assert len(runner.graphs) == 2
            assert pool.used_bytes() > used
            del runner
            assert pool.used_bytes() == used
    finally:
        gc.enable()
    pool.free_all_blocks()
    spent = cupysim.counters() - before
    assert spent.mallocs == spent.frees  # 0 where the pool had enough


def test_a_runner_captures_on_one_stream(
    cuda: Any, numbers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cupy

    problem, rows = numbers
    begin, streams = cupy.cuda.Stream.begin_capture, []

    def begun(stream: Any, *arguments: Any) -> None:
        streams.append(stream)
        begin(stream, *arguments)

    monkeypatch.setattr(cupy.cuda.Stream, "begin_capture", begun)
    for more in ([], [Relu()]):
        runner = runner_of(cuda, problem, *more)
        for some in (rows, rows[:5], rows[:, :9], rows):
            runner.run(some, {"lr": 0.1})
        assert len(runner.graphs) == 3
    assert len(streams) == 6
    assert len(set(map(id, streams))) == 2


@pytest.mark.filterwarnings("ignore:the loss has not moved:fastnn.TrainingWarning")
def test_training_again_takes_no_more_memory(cuda: Any, numbers: Any) -> None:
    import cupy

    problem, _ = numbers
    pool = cupy.get_default_memory_pool()
    network = Sequential([*problem.network(cuda, "float32").layers.values(), Relu()])
    sizes = []
    for _ in range(12):
        fit(network, problem.x, problem.t, batch_size=3, epochs=2, progress=False)
        sizes.append((pool.used_bytes(), pool.total_bytes()))
    assert len({used for used, _ in sizes}) == 1
    assert len({total for _, total in sizes[6:]}) == 1
