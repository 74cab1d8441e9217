"""Training in compiled code: the same as the loop over NumPy, whatever the network and the data."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn.backends.loop import Loop
from fastnn.training.planner import make_plan
from tests.helpers.compiled_networks import NETWORKS, SCRIPT, use_threads

pytest.importorskip("numba")

import fastnn
from fastnn.backends import selection
from fastnn.backends.known_parts import KnownParts
from fastnn.backends.numba import compression
from fastnn.backends.numba import team as numba_team
from fastnn.backends.numba.runner import CompiledStep
from fastnn.backends.plan import Activation, Block, Rule
from tests.helpers.compiled_training import (
    BOUNDS,
    awkward_cases,
    compiled,
    data_set,
    differences,
    plan_of,
)
from tests.helpers.exhaustive import exhaustive_but
from tests.helpers.kernel_script import HAS_AVX2, NARROWER, run_script
from tests.helpers.problems import BYTES, FLOATS

SOME_NETWORKS = exhaustive_but(
    [((30, 400, 10),), ((30, 65, 8, 129, 3),)], [(sizes,) for sizes in NETWORKS]
)
"""Each compiles for seconds."""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many threads, however small the step."""
    use_threads(monkeypatch, request.param)
    return int(request.param)


def batches(samples: int, batch: int, steps: int, seed: int = 3) -> Any:
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(samples)[:batch] for _ in range(steps)])


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_every_size_in_every_role(dtype: str, density: float) -> None:
    for sizes, batch in awkward_cases():
        x, t = data_set(2 * batch + 1, sizes[0], sizes[-1], density=density)
        rows = [batches(len(x), batch, 2), batches(len(x), 1, 2)]
        error, _, _ = differences(sizes, x, t, rows, dtype)
        assert error <= BOUNDS[dtype], (sizes, batch)


@pytest.mark.parametrize("sizes", SOME_NETWORKS, ids=str)
@pytest.mark.parametrize("density", exhaustive_but([0.2], [0.2, 1.0]))
@pytest.mark.parametrize("dtype", exhaustive_but(["float64"], ["float32", "float64"]))
def test_any_number_of_threads_agrees_with_numpy(
    sizes: tuple[int, ...], density: float, dtype: str, threads: int
) -> None:
    x, t = data_set(100, sizes[0], sizes[-1], density=density)
    rows = [batches(100, 30, 20), batches(100, 7, 3), batches(100, 30, 3)]
    error, losses, _ = differences(sizes, x, t, rows, dtype)
    assert error <= 10 * BOUNDS[dtype]
    assert losses.shape == (26,)


@pytest.mark.parametrize("density", exhaustive_but([0.2], [0.2, 1.0]))
@pytest.mark.parametrize("sizes", SOME_NETWORKS, ids=str)
def test_the_bits_do_not_depend_on_the_threads(
    sizes: tuple[int, ...], density: float, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, t = data_set(100, sizes[0], sizes[-1], density=density)
    results = []
    for count in (1, 1, 2, 3, 4):
        use_threads(monkeypatch, count)
        plan = plan_of(sizes, x, t, 30, dtype, "numba")
        runner = compiled(plan)
        losses = runner.run(batches(100, 30, 40), {"lr": 0.1})
        runner.flush()
        results.append([losses, *(plan.arrays[name] for name in sorted(plan.arrays))])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("dtype", "kind"), [*itertools.product(FLOATS, FLOATS), *BYTES])
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_data_of_any_dtype(density: float, dtype: str, kind: str) -> None:
    x, t = data_set(50, 40, 5, density=density)
    x = np.clip(np.round(x * 2), -100 if kind[0] != "u" else 0, 100).astype(kind)
    with fastnn.use_backend("numba"):
        plan = plan_of((40, 20, 5), x, t, 10, dtype, "numba")
    if x.dtype.kind == "i" or x.dtype.kind == "u":
        assert plan.arrays["x_data"].dtype == kind
    error, _, _ = differences((40, 20, 5), x, t, [batches(50, 10, 5)], dtype, lr=0.01)
    assert error <= BOUNDS[dtype]


@pytest.mark.parametrize("width", [20, 300])
def test_samples_and_features_that_are_all_zero(width: int, dtype: str, threads: int) -> None:
    x, t = data_set(40, 50, 4)
    x[::3] = 0
    x[:, ::2] = 0
    error, _, _ = differences((50, width, 4), x, t, [batches(40, 10, 10)], dtype)
    assert error <= BOUNDS[dtype]
    error, _, _ = differences((50, width, 4), 0 * x, t, [batches(40, 10, 10)], dtype)
    assert error <= BOUNDS[dtype]


@pytest.mark.parametrize("sizes", [(30, 4), (30, 20, 4), (30, 300, 4), (30, 400, 4)], ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["W1", "b1", "W2"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_network_that_diverged_looks_so(
    sizes: tuple[int, ...], bad: float, name: str, threads: int
) -> None:
    """Zero times infinity is NaN: what is skipped must not hide it."""
    if len(sizes) == 2 and name == "W2":
        pytest.skip("there is no W2")
    x, t = data_set(40, 30, 4, density=0.1)
    x[:, 3] = 0
    x[0, 3] = 1  # in the data set, and in none of the batches
    rows = 1 + batches(39, 8, 4)
    backends = [selection.load_backend(engine) for engine in ("numba", "numpy")]
    results = []
    for backend in backends:
        plan = plan_of(sizes, x, t, 8, "float32", backend.name)
        runner = compiled(plan) if backend.name == "numba" else Loop(backend, plan)
        first = runner.run(rows, {"lr": 0.1})
        runner.flush()
        plan.arrays[name][3, ...] = bad
        runner.reload()
        second = runner.run(rows, {"lr": 0.1})
        runner.flush()
        results.append([first, second, *(plan.arrays[key] for key in sorted(plan.arrays))])
    for found, right in zip(*results, strict=True):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(right))
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sizes", [(30, 20, 4), (30, 300, 4), (30, 400, 4)], ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_on_the_way(sizes: tuple[int, ...], threads: int) -> None:
    """A learning rate that overflows within a few steps: the same NaNs as NumPy, in W and in x."""
    x, t = data_set(40, 30, 4, density=0.1)
    x *= 1e6
    rows = [batches(40, 8, 30)]
    error, losses, plan = differences(sizes, x, t, rows, "float32", lr=1e20)
    assert np.isnan(losses).any()
    assert np.isnan(plan.arrays["W1"]).any()
    assert error < np.inf


def test_labels_and_rows_out_of_range_are_no_addresses(threads: int) -> None:
    for density in (0.2, 1.0):
        x, t = data_set(20, 30, 4, density=density)
        t[:4] = [-1, 4, 2**40, -(2**40)]
        runner = compiled(plan_of((30, 20, 4), x, t, 4, "float32", "numba"))
        losses = runner.run(
            np.array([[0, 4, 5, 6], [1, 4, 5, 6], [2, 7, 8, 9], [3, 7, 8, 9]]), {"lr": 0.1}
        )
        assert np.isnan(losses).all()
        compiled(plan_of((30, 20, 4), x, t, 4, "float32", "numba")).run(
            np.array([[-1, 20, 2**40, -(2**40)]]), {"lr": 0.1}
        )


@pytest.mark.parametrize("kind", ["uint8", "int8", "float32", "float64"])
@pytest.mark.parametrize(
    ("samples", "features"), [(1, 1), (2, 63), (3, 64), (7, 65), (50, 783), (5, 70_000)]
)
def test_compressed_data_holds_what_is_not_zero(
    kind: str, samples: int, features: int, threads: int
) -> None:
    x, _ = data_set(samples, features, 2, density=0.3)
    x = (10 * x).astype(kind)
    x[samples // 2] = 0
    starts = np.unique([0, features // 3, features])
    data = compression.compress(x, starts, np.float32(1))
    offsets = data.offsets.reshape(samples, len(starts)).astype(np.int64)
    assert data.largest == np.max(np.abs(x.astype("float64")))
    assert data.values.size == np.count_nonzero(x)
    for k in range(samples):
        places = data.starts[k] + offsets[k]
        where = data.positions[places[0] : places[-1]]
        np.testing.assert_array_equal(where, np.flatnonzero(x[k]))
        np.testing.assert_array_equal(data.values[places[0] : places[-1]], x[k, where])
        np.testing.assert_array_equal(np.searchsorted(where, starts), offsets[k])


def test_data_that_changes_while_it_is_compressed(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastnn.kernels.cpu import compressed

    x, _ = data_set(50, 30, 2)
    for wrong in (0, 50 * 30):
        monkeypatch.setattr(compressed, "count_nonzero", lambda x, wrong=wrong: wrong)
        with pytest.raises(RuntimeError, match="x was changed"):
            compression.compress(x, np.array([0, 10, 30]), np.float64(1))


@pytest.mark.parametrize(("dtype", "kind"), [*zip(FLOATS, FLOATS, strict=True), *BYTES])
@pytest.mark.parametrize(
    "sizes",
    exhaustive_but([((90, 400, 5),)], [((90, 20, 5),), ((90, 400, 5),), ((90, 5),)]),
    ids=str,
)
@pytest.mark.parametrize("density", [0.1, 0.9])
def test_data_that_is_scaled_as_it_is_used(
    density: float, sizes: tuple[int, ...], dtype: str, kind: str, threads: int
) -> None:
    x, t = data_set(60, sizes[0], sizes[-1], density=density)
    x = (40 * x).astype(kind)
    scaled = x.astype(dtype) * np.dtype(dtype).type(1 / 255)
    rows = np.random.default_rng(1).permutation(60).reshape(3, 20)
    plans = [
        plan_of(sizes, x, t, 20, dtype, "numba", 1 / 255),
        plan_of(sizes, scaled, t, 20, dtype, "numba"),
    ]
    losses, counts = [], []
    for plan in plans:
        runner = compiled(plan)
        assert runner.compressed is (density < 0.5)
        losses.append(runner.run(rows, {"lr": 0.1}))
        runner.flush()
        held_out = (plan.arrays["x_data"][:30], t[:30])
        counts.append([count() for count in map(runner.counter, (None, held_out)) if count])
    np.testing.assert_array_equal(*losses)
    assert counts[0] == counts[1]
    for name in set(plans[0].arrays) - {"x_data", "t_data"}:
        np.testing.assert_array_equal(plans[0].arrays[name], plans[1].arrays[name])


def test_density_decides(dtype: str) -> None:
    for density, expected in ((0.1, True), (0.9, False)):
        x, t = data_set(300, 40, 5, density=density)
        assert compiled(plan_of((40, 20, 5), x, t, 10, dtype, "numba")).compressed is expected


def test_what_is_not_compiled_runs_in_the_loop() -> None:
    class Scale:
        def forward(self, x: Any) -> Any:
            return 2 * x

        def backward(self, dout: Any) -> Any:
            return 2 * dout

    class OtherRule(fastnn.SGD):
        rule = Rule("other_rule", hyperparameters=("lr",))

    class OwnUpdate(fastnn.SGD):
        def update(self, params: Any, grads: Any) -> None:
            super().update(params, grads)

    x, t = data_set(20, 6, 3)
    backend = selection.load_backend("numba")

    def affine(inputs: int, outputs: int) -> fastnn.Affine:
        return fastnn.Affine(np.ones((inputs, outputs), "f4"), np.zeros(outputs, "f4"))

    with fastnn.use_backend("numba"):
        known = fastnn.Sequential([affine(6, 4), fastnn.Relu(), affine(4, 3)])
        others = [
            fastnn.Sequential([affine(6, 4), Scale(), affine(4, 3)]),
            fastnn.Sequential([fastnn.Relu(), affine(6, 3)]),
            fastnn.Sequential([affine(6, 3), fastnn.Relu()]),
        ]

    def compiled_as(network: Any, optimizer: Any) -> Any:
        plan = make_plan(network, x.astype("f4"), t, optimizer, 5)
        return type(backend.compile(plan) or Loop(backend, plan))

    assert compiled_as(known, fastnn.SGD()) is CompiledStep
    assert compiled_as(known, OtherRule()) is Loop
    assert compiled_as(known, OwnUpdate()) is Loop
    assert [compiled_as(other, fastnn.SGD()) for other in others] == [Loop] * 3


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", FLOATS)
def test_two_affine_layers_in_a_row(dtype: str) -> None:
    x, t = data_set(20, 6, 3)
    rng = np.random.default_rng(0)
    results = {}
    for name in ("numba", "numpy"):
        rng = np.random.default_rng(0)
        with fastnn.use_backend(name):
            layers = [
                fastnn.Affine(rng.normal(size=shape).astype(dtype), np.zeros(shape[1], dtype))
                for shape in ((6, 70), (70, 20), (20, 3))
            ]
            network = fastnn.Sequential(layers)
        history = fastnn.fit(network, x, t, batch_size=5, seed=0, progress=False)
        results[name] = [np.array(history.losses), *network.params.values()]
    for found, right in zip(results["numba"], results["numpy"], strict=True):
        np.testing.assert_allclose(found, right, rtol=1e3 * BOUNDS[dtype], atol=BOUNDS[dtype])


def test_fit_with_callbacks_and_a_remainder(dtype: str, threads: int) -> None:
    """Callbacks see the network whole, and what they change counts."""
    x, t = data_set(53, 30, 4)
    results = []
    for name in ("numba", "numpy"):
        with fastnn.use_backend(name):
            network = fastnn.TwoLayerNet(30, 80, 4, dtype=dtype, seed=0)
        optimizer = fastnn.SGD(0.5)
        seen: list[Any] = []

        def change(
            network: Any, history: Any, optimizer: Any = optimizer, seen: Any = seen
        ) -> None:
            seen.append(network.params["W1"].copy())
            network.params["W1"] *= 0.5
            network.params["b2"] = np.ones(4)
            optimizer.lr *= 0.5

        history = fastnn.fit(
            network, x, t, epochs=4, batch_size=10, optimizer=optimizer, seed=0,
            validation=(x, t), callbacks=[change], progress=False,
        )  # fmt: skip
        results.append([np.array(history.losses), *seen, *network.params.values()])
        assert len(history.losses) == 24
    for found, right in zip(*results, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e3 * BOUNDS[dtype], atol=BOUNDS[dtype])


def test_parameters_of_any_layout(dtype: str) -> None:
    x, t = data_set(20, 6, 3)
    plans = [plan_of((6, 70, 3), x, t, 5, dtype, "numba") for _ in range(2)]
    plans[0].arrays["W1"] = np.asfortranarray(plans[0].arrays["W1"])
    plans[0].arrays["W2"] = np.repeat(plans[0].arrays["W2"], 2, axis=0)[::2]
    for plan in plans:
        runner = compiled(plan)
        runner.run(batches(20, 5, 3), {"lr": 0.1})
        runner.flush()
    for name in plans[0].arrays:
        np.testing.assert_array_equal(plans[0].arrays[name], plans[1].arrays[name])


@pytest.mark.parametrize("density", [0.2, 1.0])
def test_data_that_may_not_be_written(density: float, dtype: str) -> None:
    """Nothing is compiled anew for it, and its memory lives as long as it is needed."""
    from fastnn.kernels.cpu import step_dense, step_sparse

    x, t = data_set(50, 30, 4, density=density)
    rows = batches(50, 10, 5)
    losses = []
    for writable in (True, False):
        plan = plan_of((30, 20, 4), x, t, 10, dtype, "numba")
        if not writable:
            for name in ("x_data", "t_data"):
                array = plan.arrays[name]
                plan.arrays[name] = np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
                assert not plan.arrays[name].flags.writeable
        runner = compiled(plan)
        plan.arrays.update(x_data=None, t_data=None)
        compiled_before = len(step_sparse.train.signatures) + len(step_dense.train.signatures)
        losses.append(runner.run(rows, {"lr": 0.1}))
    compiled_now = len(step_sparse.train.signatures) + len(step_dense.train.signatures)
    assert compiled_now == compiled_before
    np.testing.assert_array_equal(losses[0], losses[1])


def train_once(seed: int) -> list[float]:
    x, t = data_set(200, 50, 4, seed=seed)
    with fastnn.use_backend("numba"):
        network = fastnn.TwoLayerNet(50, 300, 4, seed=seed)
    return fastnn.fit(network, x, t, epochs=20, batch_size=20, seed=0, progress=False).losses


def test_several_trainings_at_once(threads: int) -> None:
    alone = [train_once(seed) for seed in range(4)]
    found: dict[int, list[float]] = {}

    def work(seed: int) -> None:
        found[seed] = train_once(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [found[seed] for seed in range(4)] == alone


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    use_threads(monkeypatch, 2)
    expected = train_once(0)
    child = os.fork()
    if child == 0:
        os._exit(0 if train_once(0) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_job_that_raises_ends_the_others() -> None:
    begun, left, stop = threading.Event(), threading.Event(), threading.Event()

    def job(thread: int) -> None:
        if thread == 0:
            assert begun.wait(timeout=30)
            raise KeyboardInterrupt
        begun.set()
        assert stop.wait(timeout=30)
        left.set()

    with pytest.raises(KeyboardInterrupt):
        numba_team.run_together(job, 2, stop.set)
    assert left.is_set()


def test_an_error_of_another_thread_is_raised_here() -> None:
    def job(thread: int) -> None:
        if thread == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        numba_team.run_together(job, 3, lambda: None)


def test_an_aborted_meeting_leaves_the_parameters_alone() -> None:
    """The others of a step find that one will never come: they leave, and nothing was written."""
    from fastnn.kernels.cpu import barrier, net

    for density in (0.2, 1.0):
        x, t = data_set(30, 20, 3, density=density)
        for sizes in ((20, 30, 3), (20, 300, 3)):
            plan = plan_of(sizes, x, t, 5, "float32", "numba")
            before = {name: array.copy() for name, array in plan.arrays.items()}
            runner = compiled(plan)
            place = np.zeros(barrier.SIZE, np.int64)
            barrier.abort(place)
            rows, losses = batches(30, 5, 2), np.empty(2, "float32")
            team = net.Team(0, 2, place, runner.give_way)
            rates = np.full((2, 1), 0.1, "float32")
            run = net.Run(rows, runner.loss(runner.labels), runner.rule, rates, losses)
            assert runner.take_part(team, run) == 0
            runner.flush()
            for name, array in before.items():
                np.testing.assert_array_equal(plan.arrays[name], array)


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = train_once(1)
    use_threads(monkeypatch, 4 * (os.cpu_count() or 1))
    assert train_once(1) == alone


@pytest.mark.skipif(sys.platform == "win32", reason="no mprotect here")
@pytest.mark.exhaustive
@pytest.mark.parametrize("mode", ["start", "end"])
def test_no_byte_beside_a_buffer_is_touched(mode: str) -> None:
    run_script(SCRIPT, mode)


@pytest.mark.exhaustive
def test_every_access_is_in_bounds() -> None:
    run_script(SCRIPT, "checked", NUMBA_BOUNDSCHECK="1")


@pytest.mark.skipif(sys.platform == "win32", reason="no mprotect here")
@pytest.mark.exhaustive
def test_narrower_registers_than_these() -> None:
    """On a host with AVX-512 the tile for AVX2 would never run otherwise."""
    if not HAS_AVX2:
        pytest.skip("this processor has no AVX2")
    run_script(SCRIPT, "narrower", **NARROWER)


@pytest.mark.exhaustive
def test_bytes_are_not_copied_as_floats() -> None:
    """Training on bytes takes less memory on top of them than a float32 copy of them would."""
    code = """
import resource, numpy as np, fastnn
rng = np.random.default_rng(0)
x = np.where(rng.random((40_000, 784), dtype="f4") < {density}, 200, 0).astype("uint8")
t = rng.integers(0, 10, 40_000)
with fastnn.use_backend("numba"):
    network = fastnn.TwoLayerNet(784, 50, 10, seed=0)
fastnn.fit(network, x[:500], t[:500], validation=(x[:500], t[:500]), progress=False)
x[:500, 0] = 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fastnn.fit(network, x, t, validation=(x, t), progress=False)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (4 * x.size))
"""
    if sys.platform != "linux":
        pytest.skip("ru_maxrss is in other units")
    for density in (0.2, 0.9):
        result = subprocess.run(
            [sys.executable, "-c", code.format(density=density)],
            capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        assert float(result.stdout) < 0.5


def test_the_chain_of_a_network() -> None:
    x, t = data_set(20, 6, 3)
    plan = plan_of((6, 5, 4, 3), x, t, 5, "float32", "numba")
    blocks = (
        Block(("W1", "b1"), 5, Activation("relu")),
        Block(("W2", "b2"), 4, Activation("relu")),
        Block(("W3", "b3"), 3),
    )
    assert plan.chain.blocks == blocks
    known = KnownParts("it", ("relu",), ("softmax_cross_entropy",), ("sgd_update",))
    assert known.reasons(plan.chain) == known.reasons_of_data(plan) == ()
    none = KnownParts("it", (), (), ())
    assert none.reasons(plan.chain) == (
        ("Affine1, Activation_function1 (Relu)", "it does not know the activation 'relu'"),
        ("Affine2, Activation_function2 (Relu)", "it does not know the activation 'relu'"),
        ("SoftmaxWithLoss", "it does not know the loss 'softmax_cross_entropy'"),
        ("SGD", "it does not know the rule 'sgd_update'"),
    )
    plan.arrays["W2"] = plan.arrays["W1"]
    assert known.reasons_of_data(plan) == (("", "two parameters are one array"),)
    plan.arrays["x_data"], plan.arrays["t_data"] = x[:, None, :], np.eye(3)[t]
    assert [part for part, _ in known.reasons_of_data(plan)] == ["x", "t", ""]


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", FLOATS)
def test_labels_of_every_class_lie_in_the_loss(dtype: str) -> None:
    """The loss of uniform scores is the logarithm of the number of classes, whatever the label."""
    for classes, batch in itertools.product((1, 2, 10, 11, 65), (1, 4, 5)):
        x, _ = data_set(batch, 6, classes)
        plan = plan_of((6, 5, classes), x, np.arange(batch) % classes, batch, dtype, "numba")
        for name in ("W2", "b2"):
            plan.arrays[name][...] = 0
        losses = compiled(plan).run(np.arange(batch)[None], {"lr": 0.0})
        assert losses[0] == pytest.approx(np.log(classes), rel=1e-6)


@pytest.fixture
def no_new_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """No worker is there, and the system starts so many threads and no more."""

    def only(more: int) -> None:
        start, left = numba_team._Worker, iter(range(more))

        def start_or_fail() -> Any:
            if next(left, None) is None:
                raise RuntimeError("can't start new thread")
            return start()

        monkeypatch.setattr(numba_team, "_Worker", start_or_fail)
        monkeypatch.setattr(numba_team, "_idle", [])
        monkeypatch.setattr(numba_team, "_warned", False)

    return only


@pytest.mark.parametrize("density", [0.2, 1.0])
@pytest.mark.parametrize("more", [0, 1, 2])
def test_threads_that_are_not_to_be_had(
    more: int,
    density: float,
    no_new_threads: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_threads(monkeypatch, 4)
    x, t = data_set(200, 50, 4, density=density)

    def train() -> list[float]:
        with fastnn.use_backend("numba"):
            network = fastnn.TwoLayerNet(50, 300, 4, seed=0)
        history = fastnn.fit(
            network, x, t, validation=(x, t), epochs=4, batch_size=20, seed=0, progress=False
        )
        return [*history.losses, *history.validation_accuracies]

    expected = train()
    no_new_threads(more)
    with pytest.warns(RuntimeWarning, match=r"starts no more threads \(can't start") as found:
        found_twice = [train() for _ in range(2)]
    assert found_twice == [expected, expected]
    assert len(found) == 1
    assert len(numba_team._idle) == more


def test_a_progress_bar_needs_no_thread(
    no_new_threads: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    use_threads(monkeypatch, 2)
    no_new_threads(1)
    monkeypatch.setattr(threading.Thread, "start", fail)
    x, t = data_set(200, 50, 4)
    network = fastnn.TwoLayerNet(50, 300, 4).to("numba")
    with pytest.warns() as found:
        fastnn.fit(network, x, t, epochs=2, batch_size=20, progress=True)
    assert [warning.category for warning in found] == [RuntimeWarning]
    assert "20/20" in capsys.readouterr().err


def test_jobs_that_need_not_meet_all_run_on_fewer_threads(
    no_new_threads: Callable[[int], None],
) -> None:
    no_new_threads(1)
    done: list[int] = []
    with pytest.warns(RuntimeWarning, match="run on 2"):
        numba_team.share_out(done.append, 5)
    assert sorted(done) == [0, 1, 2, 3, 4]


def test_a_job_elsewhere_needs_a_thread(no_new_threads: Callable[[int], None]) -> None:
    no_new_threads(0)
    with (
        pytest.warns(RuntimeWarning, match="run on 1"),
        pytest.raises(numba_team.TooFewThreadsError) as found,
    ):
        numba_team.run_together(lambda thread: None, 1, lambda: None, here=False)
    assert found.value.threads == 1


def test_batches_larger_than_the_step_was_compiled_for() -> None:
    x, t = data_set(60, 12, 3)
    runner = compiled(plan_of((12, 5, 3), x, t, 20, "float64", "numba"))
    before = runner.layout.memory.copy()
    with pytest.raises(ValueError, match=r"batches have 21 samples.*at most 20"):
        runner.run(np.arange(42).reshape(2, 21), {"lr": 0.1})
    np.testing.assert_array_equal(runner.layout.memory, before)
