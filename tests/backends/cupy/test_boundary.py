"""What comes to a GPU from elsewhere: other libraries, other devices, more data than fits."""

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
from fastnn import SGD, Sequential, TwoLayerNet, fit
from fastnn.backends.cupy import streaming as cupy_feed
from fastnn.backends.cupy.runner import CupyRunner
from fastnn.training.planner import make_plan
from tests.helpers.device_arrays import DLPack, Interface
from tests.helpers.gpu import Problem, cupy_backend, run_script, simulator

pytestmark = pytest.mark.gpu


@pytest.fixture
def cuda() -> Any:
    with fastnn.use_backend(cupy_backend()) as backend:
        yield backend


# Arrays of other libraries on the device


@pytest.mark.parametrize("wrapped", [Interface, DLPack])
def test_arrays_on_the_device_come_in_without_the_host(cuda: Any, wrapped: Any) -> None:
    problem = Problem([8, 6, 4], 11)
    x, t = cuda.asarray(problem.x), cuda.asarray(problem.t)
    network = problem.network(cuda, "float32")
    expected = network.gradient(x, t)
    own = network.predict(x)
    foreign_x, foreign_t = wrapped(x), wrapped(t)
    found = network.gradient(foreign_x, foreign_t)
    for name, right in expected.items():
        np.testing.assert_array_equal(cuda.to_numpy(found[name]), cuda.to_numpy(right))
    assert network.loss(foreign_x, foreign_t) == network.loss(x, t)
    fit(network, foreign_x, foreign_t, batch_size=3, progress=False)
    assert cuda.owns(own)
    np.testing.assert_array_equal(cuda.to_numpy(x), problem.x)
    if wrapped is DLPack:
        assert None not in foreign_x.streams  # the producer was told who reads


def test_no_byte_crosses_to_the_host_or_back(cuda: Any) -> None:
    cupysim = simulator()
    problem = Problem([8, 6, 4], 11)
    network = problem.network(cuda, "float32")
    for wrapped in (lambda array: array, Interface, DLPack):
        x = wrapped(cuda.asarray(problem.x))
        network.predict(x)
        before = cupysim.counters()
        scores = network.predict(x)
        spent = cupysim.counters() - before
        assert cuda.owns(scores)
        assert (spent.h2d, spent.d2h, spent.syncs) == (0, 0, 0)


def test_a_host_tensor_still_comes_by_the_host(cuda: Any) -> None:
    problem = Problem([8, 6, 4], 11)
    network = problem.network(cuda, "float32")

    class OnHost:
        __array__ = problem.x.__array__
        __dlpack__ = problem.x.__dlpack__
        __dlpack_device__ = problem.x.__dlpack_device__

    assert cuda.owns(network.predict(OnHost()))


READ_LATE = """
    import cupy, numpy as np, fastnn
    from tests.helpers.gpu import Problem
    from tests.helpers.device_arrays import DLPack, Interface
    cuda = fastnn.set_backend("cupy", strict=True)
    problem = Problem([8, 6, 4], 50)
    network = problem.network(cuda, "float32")
    right = cuda.to_numpy(network.predict(problem.x))
    producer = cupy.cuda.Stream(non_blocking=True)

    class Offered:
        def __init__(self, array):
            self.kept = array
            offer = {**array.__cuda_array_interface__, "stream": producer.ptr}
            self.__cuda_array_interface__ = offer

    for wrapped in (Offered, DLPack):
        with producer:
            x = cupy.asarray(problem.x)
            place = x.data.ptr
            given = wrapped(x)
        scores = network.predict(given)
        del x, given
        # The producer's next array may lie where the last one was, but not before that was read.
        with producer:
            other = cupy.full(problem.x.shape, np.nan, "float32")
        producer.synchronize()
        np.testing.assert_array_equal(cuda.to_numpy(scores), right, wrapped.__name__)
        del other
        network.predict(cupy.asarray(problem.x))
        cuda.synchronize()
        network.predict(Interface(cupy.asarray(problem.x)))  # checks at what has been read
        with producer:
            again = cupy.empty(problem.x.shape, "float32")
            more = cupy.empty(problem.x.shape, "float32")
        assert place in (again.data.ptr, more.data.ptr), "it is never given back"
        del again, more
    print("read in time")
"""


def test_an_array_of_another_library_is_held_until_it_was_read() -> None:
    simulator()
    assert "read in time" in run_script(READ_LATE, CUPYSIM_LAZY="1")


# Devices

TWO_DEVICES = """
    import cupy, numpy as np, pickle, fastnn
    from fastnn.datasets import load_mnist
    from tests.helpers.gpu import Problem
    (x, t), _ = load_mnist()
    x, t = x[:300], t[:300]
    first = fastnn.set_backend("cupy", strict=True)
    here = fastnn.TwoLayerNet(784, 20, 10, seed=1)
    second = fastnn.set_backend("cupy", device=1)
    assert second is fastnn.set_backend("cupy:1") and second is not first
    assert fastnn.set_backend("cupy:0") is first
    fastnn.set_backend(second)
    assert cupy.cuda.runtime.getDevice() == second.device.id == 1
    assert pickle.loads(pickle.dumps(second)) is second
    there = fastnn.TwoLayerNet(784, 20, 10, seed=1)
    grad = there.gradient(x, t)
    assert all(array.device.id == 1 for array in grad.values())
    there.params["W1"] -= 0.1 * grad["W1"]
    there.params["W1"] += 0.1 * grad["W1"]
    # A network keeps its device, whichever is current.
    options = dict(batch_size=50, seed=1, progress=False)
    for current in (1, 0):
        cupy.cuda.Device(current).use()
        assert there.predict(x).device.id == 1 and here.predict(x).device.id == 0
        options["validation"] = (x, t)
        losses = [fastnn.fit(net, x, t, **options).losses for net in (here, there)]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
        assert there.params["W1"].device.id == 1 and cupy.cuda.runtime.getDevice() == current
        # An array of one device is brought to the other.
        scores = [there.predict(one) for one in (x, here.backend.asarray(x))]
        np.testing.assert_array_equal(*map(fastnn.to_numpy, scores))
        assert abs(there.loss(here.backend.asarray(x), t) - there.loss(x, t)) == 0
        there.numerical_gradient(x[:1, :], t[:1]) if current else None
    here.to("cupy:1")
    assert here.backend is second and here.params["W1"].device.id == 1
    for wrong in ("cupy:2", "cupy:-1", "cupy:x"):
        try:
            fastnn.set_backend(wrong)
        except ValueError as error:
            print(error)
    for wrong in (2, -1, True):
        try:
            fastnn.set_backend("cupy", device=wrong)
        except ValueError as error:
            print(error)
    assert fastnn.get_backend() is second
    print("kept apart")
"""


def test_two_devices() -> None:
    simulator()
    said = run_script(TWO_DEVICES, CUPYSIM_DEVICES="2")
    assert "kept apart" in said
    assert "no CUDA device 2; this machine shows device 0 (" in said
    assert ", 1 (" in said


def test_a_device_that_is_not_there(cuda: Any) -> None:
    with pytest.raises(ValueError, match=r"no CUDA device 64; this machine shows device 0 \("):
        fastnn.set_backend("cupy", device=64)
    with pytest.raises(ValueError, match=r"numpy:0.*no devices to choose from"):
        fastnn.set_backend("numpy", device=0)
    with pytest.raises(ValueError, match="has a device already"):
        fastnn.set_backend("cupy:0", device=0)
    assert fastnn.get_backend() is cuda


# More than there is room for


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


class Counted:
    """A data set in the host's memory that counts the samples which were taken from it."""

    def __init__(self, array: Any) -> None:
        self.array, self.taken = array, 0
        self.nbytes, self.size, self.shape, self.dtype = (
            array.nbytes, array.size, array.shape, array.dtype,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, some: Any) -> Any:
        found = self.array[some]
        self.taken += 0 if isinstance(some, slice) else len(found)
        return found


@pytest.fixture
def small_chunks(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stream every data set, 40 samples of 9 floats in a chunk."""
    monkeypatch.setattr(type(cuda), "holds", lambda *_: False)
    monkeypatch.setattr(cupy_feed, "CHUNK_BYTES", 40 * 9 * 4)


def feed_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastnn-feed")]


@pytest.mark.usefixtures("small_chunks")
def test_a_feed_that_is_told_to_stop_takes_no_more(
    cuda: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cupysim = simulator()
    monkeypatch.setattr(cupy_feed, "GATHER_BYTES", 4 * 9 * 4)
    problem = Problem([9, 8, 4], 397)
    data: Any = Counted(problem.x)
    feed = cupy_feed.PinnedFeed(cuda, data, problem.t, "float32", 10)
    assert feed.x.shape == (30, 9)

    # Within a chunk: 4 samples at a time, and the request comes at the fourth check.
    checks = itertools.count(1)
    chunks = feed.chunks(np.arange(400), lambda: next(checks) > 3)
    before = cupysim.counters()
    assert list(chunks) == []
    assert data.taken == 12
    assert (cupysim.counters() - before).h2d == 0
    assert feed_threads() == []

    # Between two chunks.
    requested: list[bool] = []
    chunks = feed.chunks(np.arange(400), lambda: bool(requested))
    next(chunks)
    requested.append(True)
    time.sleep(0.05)
    cuda.synchronize()
    taken, before = data.taken, cupysim.counters()
    assert list(chunks) == []
    assert data.taken == taken
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
    data: Any = Counted(problem.x[:20])
    feed = cupy_feed.PinnedFeed(cuda, data, problem.t[:20], "float32", 10)
    with pytest.raises(IndexError):
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


POINTS = {
    "a graph is captured": ("fastnn.backends.cupy.runner.capture", 1),
    "a graph is launched": ("fastnn.backends.cupy.graph.CapturedGraph.launch", 2),
    "steps are begun": ("fastnn.backends.cupy.fused.FusedStep.begin", 2),
    "a step is launched": ("fastnn.backends.cupy.op_by_op.OpByOpStep.launch", 3),
    "losses are brought": ("fastnn.training.history.LossQueue.flush", 1),
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
    if "chunk" in point and not streamed:
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
        op_by_op = point == "a step is launched"
        return Sequential([*one.layers.values(), Passing()]) if op_by_op else one

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


class Reached(Exception):  # noqa: N818
    """The training would begin now."""


def test_out_of_memory_says_what_to_do(cuda: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever allocation fails before training begins, the network is as it was."""
    import cupy

    def begin(*_: Any) -> None:
        raise Reached

    monkeypatch.setattr(CupyRunner, "run", begin)
    problem = Problem([9, 8, 4], 30)
    network = problem.network(cuda, "float32")
    before = {name: cuda.to_numpy(array).copy() for name, array in network.params.items()}
    pool = cupy.cuda.get_allocator()
    explained = 0
    for refused in range(1, 100):
        count = itertools.count(1)

        def limited(needed: int, refused: int = refused, count: Any = count) -> Any:
            if next(count) >= refused:
                raise cupy.cuda.memory.OutOfMemoryError(needed, 0)
            return pool(needed)

        try:
            with cupy.cuda.using_allocator(limited):
                trained(network, problem)
        except Reached:
            break
        except MemoryError as error:
            explained += "bytes needed" in str(error)
        for name, array in network.params.items():
            np.testing.assert_array_equal(cuda.to_numpy(array), before[name])
    assert 10 < explained <= refused < 99


@pytest.mark.parametrize("pooled", [True, False])
def test_an_array_too_large_for_the_device(cuda: Any, pooled: bool) -> None:
    import cupy

    total = cupy.cuda.runtime.memGetInfo()[1]
    match = (
        r"room for a buffer of the training step: [\d,]+ bytes needed, [\d,]+ free of .* smaller "
    )
    with (
        cupy.cuda.using_allocator(cupy.cuda.get_allocator() if pooled else None),
        pytest.raises(MemoryError, match=match + ".*uint8.*pinned"),
    ):
        cuda.empty((total, 8), "float32")


OLD_DEVICE = """
    import fastnn
    for name in ("cupy", "cupy:0"):
        try:
            fastnn.set_backend(name, strict=True)
        except fastnn.BackendUnavailableError as error:
            print(error)
"""


def test_a_device_from_before_the_wheel() -> None:
    simulator()
    said = run_script(OLD_DEVICE, CUPYSIM_CC="70")
    assert said.count("has compute capability 7.0, and CUDA 13") == 2
    assert said.count("pip install 'cupy-cuda12x[ctk]>=14.2'") == 2
