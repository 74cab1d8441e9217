"""More data than the device has room for: streamed, and over before its memory goes."""

from __future__ import annotations

import itertools
import pkgutil
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Relu, Sequential, TwoLayerNet, fit
from fastnn.backends.cupy import gathering
from fastnn.backends.cupy import streaming as cupy_feed
from fastnn.training.planner import make_plan
from tests.helpers.gpu import Problem, run_script, simulator

pytestmark = pytest.mark.gpu


def trained(network: Sequential, problem: Problem, **options: Any) -> Any:
    return fit(
        network, problem.x, problem.t, epochs=2, batch_size=10, optimizer=SGD(0.1), seed=3,
        progress=False, **options,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:inputs x lie|the loss has not moved:fastnn.TrainingWarning")
@pytest.mark.parametrize("data", ["float32", "uint8", "float64"])
@pytest.mark.parametrize("user", [False, True])
def test_a_data_set_without_room_is_streamed(
    cuda: Any, data: str, user: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem([9, 8, 4], 130, data=data)

    def network() -> Sequential:
        one = problem.network(cuda, "float32")
        return Sequential([*one.layers.values(), fastnn.Relu()]) if user else one

    resident, streamed = network(), network()
    expected = trained(resident, problem, validation=(problem.x, problem.t))
    monkeypatch.setattr(type(cuda), "holds", lambda *_: False)
    monkeypatch.setattr(cupy_feed, "CHUNK_BYTES", 40 * 9 * 4)
    found = trained(streamed, problem, validation=(problem.x, problem.t))
    assert found.losses == expected.losses
    assert found.train_accuracies == expected.train_accuracies
    assert found.samples == expected.samples == 266
    for name in resident.params:
        np.testing.assert_array_equal(
            cuda.to_numpy(resident.params[name]), cuda.to_numpy(streamed.params[name])
        )


def test_a_data_set_larger_than_the_memory_there_is(cuda: Any) -> None:
    import cupy

    generator = np.random.default_rng(4)
    x = generator.random((3000, 256), dtype="float32")  # 3 MB
    t = generator.integers(0, 4, 3000)
    options: Any = {"epochs": 2, "batch_size": 150, "seed": 1, "progress": False}
    expected = fit(TwoLayerNet(256, 5, 4, seed=1), x, t, **options)
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    limit = pool.get_limit()
    pool.set_limit(size=pool.total_bytes() + (2 << 20))
    try:
        with pytest.raises(MemoryError, match="3,072,000 bytes needed"):
            cuda.asarray(x)
        found = fit(TwoLayerNet(256, 5, 4, seed=1), x, t, **options)
    finally:
        pool.set_limit(size=limit)
    assert found.losses == expected.losses


def test_streamed_data_is_checked_too(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(cuda), "holds", lambda *_: False)
    problem = Problem([9, 8, 4], 30)
    problem.x[17, 3] = np.nan
    with pytest.raises(ValueError, match=r"x\[17, 3\] is nan"):
        trained(problem.network(cuda, "float32"), problem)
    problem = Problem([9, 8, 4], 30)
    problem.t[5] = 4
    with pytest.raises(ValueError, match=r"label t\[5\] is 4"):
        trained(problem.network(cuda, "float32"), problem)


STREAMED = """
    import warnings, fastnn
    warnings.simplefilter("ignore", fastnn.TrainingWarning)  # bytes as they are
    from fastnn.backends.cupy import backend as cupy_backend, streaming as cupy_feed
    from tests.helpers.gpu import Problem
    cuda = fastnn.set_backend("cupy", strict=True)
    problem = Problem([9, 8, 4], 130, data="uint8")
    cupy_feed.CHUNK_BYTES = 40 * 17
    results = []
    for holds in (True, False):
        cupy_backend.CupyBackend.holds = lambda *_: holds
        network = problem.network(cuda, "float32")
        history = fastnn.fit(
            network, problem.x, problem.t, epochs=3, batch_size=10, seed=3, progress=False
        )
        results.append((history.losses, fastnn.to_numpy(network.params["W1"]).tolist()))
    assert results[0] == results[1]
    print("the same")
"""


def test_streaming_waits_where_it_must() -> None:
    simulator()
    assert "the same" in run_script(STREAMED, CUPYSIM_LAZY="1")


# What was begun is over before its memory goes


def never() -> bool:
    return False


class Passing:
    """A layer of the user's own that passes on what it gets."""

    def forward(self, x: Any) -> Any:
        return x

    def backward(self, dout: Any) -> Any:
        return dout


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples were taken at a time, of inputs."""
    counts: list[int] = []
    gather = gathering.gather_rows

    def counted(source: Any, out: Any, rows: Any) -> None:
        counts.extend([len(rows)] * (source.ndim > 1))
        gather(source, out, rows)

    monkeypatch.setattr(gathering, "gather_rows", counted)
    return counts


@pytest.fixture
def small_chunks(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stream every data set, 40 samples of 9 floats in a chunk."""
    monkeypatch.setattr(type(cuda), "holds", lambda *_: False)
    monkeypatch.setattr(cupy_feed, "CHUNK_BYTES", 40 * 9 * 4)


def feed_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastnn-feed")]


@pytest.mark.usefixtures("small_chunks")
def test_a_feed_that_is_told_to_stop_takes_no_more(
    cuda: Any, taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cupysim = simulator()
    monkeypatch.setattr(gathering, "GATHER_BYTES", 4 * 9 * 4)
    monkeypatch.setattr(gathering, "get_num_threads", lambda: 2)
    problem = Problem([9, 8, 4], 397)
    feed = cupy_feed.PinnedFeed(cuda, problem.x, problem.t, "float32", 10)
    assert feed.x.shape == (30, 9)

    # Within a chunk: 4 samples at a time, and the request comes at the fourth check.
    checks = itertools.count(1)
    chunks = feed.chunks(np.arange(400), lambda: next(checks) > 3)
    before = cupysim.counters()
    assert list(chunks) == []
    assert taken == [4, 4, 4]
    assert (cupysim.counters() - before).h2d == 0
    assert feed_threads() == []

    # Between two chunks.
    requested: list[bool] = []
    chunks = feed.chunks(np.arange(400), lambda: bool(requested))
    next(chunks)
    requested.append(True)
    time.sleep(0.05)
    cuda.synchronize()
    so_far, before = sum(taken), cupysim.counters()
    assert list(chunks) == []
    assert sum(taken) == so_far < 400
    spent = cupysim.counters() - before
    assert (spent.h2d, spent.d2d, spent.launches) == (0, 0, 0)
    assert feed_threads() == []

    # It can be asked again, for all.
    found = [cuda.to_numpy(feed.x[rows]) for rows in feed.chunks(np.arange(400), never)]
    np.testing.assert_array_equal(np.concatenate(found), problem.x)


@pytest.mark.usefixtures("small_chunks")
def test_ctrl_c_ends_a_streamed_epoch_at_once(cuda: Any) -> None:
    cupysim = simulator()
    problem = Problem([9, 8, 4], 397)
    before: Any = None

    class Pressing(Passing):
        """Passes on what it gets; when it is called for the sixth time somebody presses Ctrl-C."""

        calls = 0

        def forward(self, x: Any) -> Any:
            nonlocal before
            self.calls += 1
            if self.calls == 6:
                time.sleep(0.05)  # what is gathered now is gathered
                cuda.synchronize()
                before = cupysim.counters()
                signal.raise_signal(signal.SIGINT)
            return super().forward(x)

    network = problem.network(cuda, "float32")
    network = Sequential([*network.layers.values(), Pressing()])
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        history = trained(network, problem)
    finally:
        signal.signal(signal.SIGINT, handler)
    spent = cupysim.counters() - before
    assert history.interrupted
    assert history.epochs == 0
    assert history.samples == 10 * len(history.losses)
    assert len(history.losses) < 9  # of 80
    assert spent.h2d == 0
    assert feed_threads() == []


@pytest.mark.usefixtures("small_chunks")
def test_an_error_while_training_ends_the_feed(cuda: Any) -> None:
    problem = Problem([9, 8, 4], 397)

    class Failing(Passing):
        calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            if self.calls == 6:
                raise ZeroDivisionError
            return super().forward(x)

    network = problem.network(cuda, "float32")
    with pytest.raises(ZeroDivisionError):
        trained(Sequential([*network.layers.values(), Failing()]), problem)
    assert feed_threads() == []

    # One in the thread that gathers comes out, too.
    feed = cupy_feed.PinnedFeed(cuda, problem.x[:20], problem.t[:20], "float32", 10)
    with pytest.raises(IndexError, match="of an array of 20 rows"):
        list(feed.chunks(np.arange(400), never))
    assert feed_threads() == []


@pytest.mark.usefixtures("small_chunks")
def test_a_system_without_another_thread(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples are gathered all the same, and a word is said."""
    problem = Problem([9, 8, 4], 130)
    expected = trained(problem.network(cuda, "float32"), problem)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.warns(fastnn.TrainingWarning, match=r"\(can't start new thread\)") as warned:
            found = trained(problem.network(cuda, "float32"), problem)
    assert [warning.filename for warning in warned] == [__file__]  # once, for two epochs
    assert found.losses == expected.losses

    # With one of three in the first epoch, and that one in the second, nobody needs to be told.
    begin, starts = threading.Thread.start, itertools.count()

    def start_one(thread: threading.Thread) -> None:
        if thread.name.startswith("fastnn-feed") and next(starts) % 2 == 0:
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(gathering, "get_num_threads", lambda: 3)
    monkeypatch.setattr(threading.Thread, "start", start_one)
    found = trained(problem.network(cuda, "float32"), problem)
    assert found.losses == expected.losses
    assert next(starts) == 4


POINTS = {
    "a graph is captured": ("fastnn.backends.cupy.runner.capture", 1),
    "a graph is launched": ("fastnn.backends.cupy.graph.CapturedGraph.launch", 2),
    "steps are begun": ("fastnn.backends.cupy.fused.FusedStep.begin", 2),
    "a step is prepared": ("fastnn.backends.cupy.op_by_op.OpByOpStep.prepare", 1),
    "a step is launched": ("fastnn.backends.cupy.op_by_op.OpByOpStep.launch", 3),
    "losses are brought": ("fastnn.training.history.LossQueue.flush", 1),
    "a chunk is gathered": ("fastnn.backends.cupy.gathering.GatheringThreads.gather", 2),
    "gathering ends": ("fastnn.backends.cupy.gathering.GatheringThreads.end", 1),
    "a chunk is sent": ("fastnn.backends.cupy.streaming.PinnedFeed._send", 3),
    "a chunk is taken": ("fastnn.backends.cupy.streaming.PinnedFeed._take", 3),
    "the runner is flushed": ("fastnn.backends.cupy.runner.CupyRunner.flush", 1),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("point", POINTS)
def test_network_and_history_belong_together_after_a_second_ctrl_c(
    cuda: Any, streamed: bool, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever both arrive, before what happens there or after it."""
    place, call = POINTS[point]
    if ("chunk" in point or "gather" in point) and not streamed:
        pytest.skip("nothing is streamed")
    module, _, method = place.rpartition(".")
    owner = pkgutil.resolve_name(module)
    original = getattr(owner, method)
    problem = Problem([9, 8, 4], 397)
    if streamed:
        monkeypatch.setattr(type(cuda), "holds", lambda *_: False)
        monkeypatch.setattr(cupy_feed, "CHUNK_BYTES", 40 * 9 * 4)

    def network() -> Sequential:
        one = problem.network(cuda, "float32")
        more = {"a step is prepared": Relu, "a step is launched": Passing}
        return Sequential([*one.layers.values(), more[point]()]) if point in more else one

    options: Any = {"epochs": 2, "optimizer": SGD(0.1), "seed": 3, "progress": False}
    for before in (True, False):
        calls = itertools.count(1)

        def pressed(*arguments: Any, before: bool = before, calls: Any = calls) -> Any:
            now = next(calls) == call
            if now and before:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            result = original(*arguments)
            if now and not before:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return result

        cut = network()
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with monkeypatch.context() as patch:
                patch.setattr(owner, method, pressed)
                with pytest.raises(KeyboardInterrupt) as caught:
                    fit(cut, problem.x, problem.t, batch_size=10, **options)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        finally:
            signal.signal(signal.SIGINT, handler)
        assert feed_threads() == []
        history: Any = getattr(caught.value, "history", None)
        steps = 0 if history is None else len(history.losses)
        assert history is None or history.samples == 10 * steps
        assert steps < 80
        whole = network()
        left = {name: cuda.to_numpy(array) for name, array in cut.params.items()}
        if steps:
            x, t = cuda.asarray(problem.x), cuda.asarray(problem.t)
            runner = cuda.compile(make_plan(whole, x, t, SGD(0.1), 10))
            generator = np.random.default_rng(3)
            orders = [generator.permutation(400) for _ in range(2)]
            rows = cuda.asarray(np.concatenate(orders).reshape(80, 10)[:steps])
            assert history.losses == cuda.to_numpy(runner.run(rows, {"lr": 0.1})).tolist()
        for name, array in whole.params.items():
            np.testing.assert_array_equal(left[name], cuda.to_numpy(array), f"{point}, {before}")


ENDED_HALF_WAY = """
    import gc, cupy, numpy as np, fastnn
    from fastnn.backends.cupy import streaming as cupy_feed
    from tests.helpers.gpu import Problem
    cuda = fastnn.set_backend("cupy", strict=True)
    cupy_feed.CHUNK_BYTES = 40 * 9 * 4
    problem = Problem([9, 8, 4], 397)

    streams = []  # the simulated device does what is left on a stream when it is destroyed

    def feed():
        one = cupy_feed.PinnedFeed(cuda, problem.x, problem.t, "float32", 10)
        streams.append(one._stream)
        return one

    def dropped():
        chunks = feed().chunks(np.arange(400), lambda: False)
        next(chunks)

    def closed():
        chunks = feed().chunks(np.arange(400), lambda: False)
        next(chunks), next(chunks)
        chunks.close()

    def failed():
        for _ in feed().chunks(np.arange(400), lambda: False):
            raise ZeroDivisionError

    def told():
        asked = []
        for _ in feed().chunks(np.arange(400), lambda: len(asked) > 1):
            asked.append(1)

    def over():
        for _ in feed().chunks(np.arange(400), lambda: False):
            pass

    for end in (dropped, closed, failed, told, over):
        try:
            end()
        except ZeroDivisionError:
            pass
        # Whoever allocates next gets the memory of the feed: nothing may be written there any more.
        others = [cupy.empty((30, 9), "float32") for _ in range(4)]
        labels = [cupy.empty((30,), "int64") for _ in range(4)]
        for array in others + labels:
            array.fill(7)
        cupy.cuda.Stream.null.synchronize()
        cupy.cuda.Device().synchronize()
        assert all(bool((array == 7).all()) for array in others + labels), end.__name__
    print("over")
"""


def test_nothing_is_under_way_when_a_feed_is_gone() -> None:
    simulator()
    assert "over" in run_script(ENDED_HALF_WAY, CUPYSIM_LAZY="1")
