"""While one thread captures, others train, wait, allocate and free: nobody disturbs the other."""

from __future__ import annotations

import pytest

from tests.helpers.gpu import run_script, simulator

pytestmark = pytest.mark.gpu

SHARED = """
    import threading, cupy, cupyx, numpy as np, fastnn, cupysim
    from fastnn import SGD, Relu, Sequential
    from fastnn.backends.cupy import backend as cupy_backend, streaming
    from fastnn.training.planner import make_plan
    from tests.helpers.cublas_by_kernel import capturable_cublas
    from tests.helpers.gpu import Problem
    cuda = fastnn.set_backend("cupy", strict=True)
    problem = Problem([12, 9, 4], 20)
    rows = cuda.asarray(np.concatenate([problem.rows] * 4)[:7])

    def network(fused):
        with fastnn.use_backend(cuda):
            layers = [*problem.network(cuda, "float32").layers.values()]
            return Sequential(layers if fused else [*layers, Relu()])

    def in_thread(work):
        # Errors of the thread come out where it is joined.
        errors = []
        def run():
            try:
                work()
            except BaseException as error:
                errors.append(error)
        thread = threading.Thread(target=run, daemon=True)
        def join():
            thread.join(120)
            assert not thread.is_alive()
            for error in errors:
                raise error
        thread.start()
        return join
"""

WHILE_IT_CAPTURES = (
    SHARED
    + """
    small = cuda.products.by_cublas

    def runner(path):
        x, t = cuda.asarray(problem.x), cuda.asarray(problem.t)
        plan = make_plan(network(path != "op by op"), x, t, SGD(0.5), 20)
        cuda.products.by_cublas = (lambda *_: True) if path == "cuBLAS" else small
        return cuda.compile(plan)

    def trained(one):
        losses = [one.run(some, {"lr": 0.1}) for some in (rows[:2], rows, rows)]
        arrays = [*losses, *(one.plan.arrays[name] for name in ("W1", "b1", "W2", "b2"))]
        return [cuda.to_numpy(array).tobytes() for array in arrays]

    paths = ["fused", "op by op", "cuBLAS"]
    capturable = capturable_cublas()
    capturable.__enter__()
    for path in paths:
        expected = trained(runner(path))
        captured = runner(path)
        launch, within, go_on = captured.step.launch, threading.Event(), threading.Event()

        def slow(n):
            if captured._stream.is_capturing() and not within.is_set():
                within.set()
                assert go_on.wait(120)
            launch(n)

        captured.step.launch = slow
        found = []
        join = in_thread(lambda: found.extend(trained(captured)))
        assert within.wait(120)
        for other in paths[:2] if path != "cuBLAS" else paths[2:]:  # what is large is so for all
            for stream in (cupy.cuda.Stream.null, cupy.cuda.Stream(non_blocking=True)):
                with stream:
                    one = runner(other)
                    cuda.synchronize()
                    assert captured._stream.is_capturing()
                    trained(one)
                    assert one.graphs
        pool = cupy.get_default_memory_pool()
        block = cupy.cuda.runtime.malloc(1 << 20)
        pinned = cupyx.zeros_pinned(1 << 18, "uint8")
        assert int(cupy.asarray(pinned).sum()) == 0
        cupy.cuda.runtime.free(block)
        del one, pinned
        pool.free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()
        streaming.CHUNK_BYTES, holds = 40 * 12 * 4, cupy_backend.CupyBackend.holds
        cupy_backend.CupyBackend.holds = lambda *_: False
        fastnn.fit(network(True), problem.x, problem.t, batch_size=3, progress=False)
        cupy_backend.CupyBackend.holds = holds
        cuda.synchronize()
        assert captured._stream.is_capturing()
        go_on.set()
        join()
        assert captured.graphs and captured.call_by_call == ""
        assert found == expected
    assert cupysim.counters().faults == 0
    print("undisturbed")
"""
)

TWO_TRAIN = (
    SHARED
    + """
    def trained(fused):
        one = network(fused)
        history = fastnn.fit(
            one, problem.x, problem.t, epochs=12, batch_size=3, seed=1, progress=False,
            validation=(problem.x, problem.t),
        )
        return history.losses, [fastnn.to_numpy(array).tobytes() for array in one.params.values()]

    kinds = (True, False, True, False)
    expected = [trained(fused) for fused in kinds[:2]] * 2
    found = [None] * 4

    def work(i):
        with cupy.cuda.Stream(non_blocking=True) if i > 1 else cupy.cuda.Stream.null:
            found[i] = trained(kinds[i])

    joins = [in_thread(lambda i=i: work(i)) for i in range(4)]
    for join in joins:
        join()
    assert found == expected
    assert cupysim.counters().faults == 0
    print("undisturbed")
"""
)


@pytest.mark.parametrize("lazy", ["0", "1"])
@pytest.mark.parametrize("script", [WHILE_IT_CAPTURES, TWO_TRAIN], ids=["one captures", "fit"])
def test_threads_do_not_disturb_a_capture(script: str, lazy: str) -> None:
    """A warning of a capture that failed is an error in these processes."""
    simulator()
    assert "undisturbed" in run_script(script, CUPYSIM_LAZY=lazy)
