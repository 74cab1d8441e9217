"""What comes to a GPU from elsewhere: other libraries, other devices, more data than fits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import fit
from fastnn.backends.cupy.runner import CupyRunner
from tests.helpers.device_arrays import DLPack, Interface
from tests.helpers.gpu import Problem, run_script, simulator

pytestmark = pytest.mark.gpu


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
                fit(network, problem.x, problem.t, batch_size=10, progress=False)
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
