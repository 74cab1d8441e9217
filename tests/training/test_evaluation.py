"""Counting right answers in compiled code, and the accuracies in the history of `fit`.

Where inputs and parameters are small whole numbers every score is exact, whatever the order of a
sum, so that counts have to be those of ``numpy.argmax``, ties included.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.kernels.cpu import evaluation

import fastnn
from fastnn.backends import Backend
from fastnn.backends.numba import runner as numba_runner
from fastnn.nn.sequential import Sequential
from tests.helpers.compiled_networks import NETWORKS, use_threads
from tests.helpers.compiled_training import SIZES, compiled, data_set, plan_of
from tests.helpers.problems import BYTES, FLOATS

DTYPES_OF_DATA = ("uint8", "int8", "float32", "float64")


def whole_numbers(
    sizes: tuple[int, ...], samples: int, dtype: str, *, density: float = 0.2, bad: Any = None
) -> tuple[Any, Any, Any]:
    """A plan whose inputs and parameters are whole numbers, its inputs and labels.

    `bad` gives parameters some of whose entries are to be another number.
    """
    rng = np.random.default_rng(sum(sizes) + samples)
    x, t = data_set(samples, sizes[0], sizes[-1], density=density)
    x = np.sign(x) * np.ceil(np.abs(x))
    plan = plan_of(sizes, x, t, min(samples, 8), dtype, "numba")
    for name, array in plan.arrays.items():
        if name[0] in "Wb":
            array[...] = rng.integers(-1, 2, array.shape)
    for name, value in (bad or {}).items():
        plan.arrays[name][-1, ...] = value
    return plan, x, t


def right_answers(plan: Any, x: Any, t: Any) -> int:
    """What ``numpy.argmax`` makes of the scores of float64."""
    parameters = sorted(name[1:] for name in plan.arrays if name[0] == "W")
    scores = x.astype("float64")
    with np.errstate(all="ignore"):
        for number in parameters:
            scores = scores @ plan.arrays[f"W{number}"].astype("float64")
            scores += plan.arrays[f"b{number}"]
            if number != parameters[-1]:
                scores = np.where(scores <= 0, 0, scores)
    return int((np.argmax(scores, axis=1) == t).sum())


def counts(plan: Any, x: Any, t: Any) -> tuple[int, int]:
    """The right answers of the plan's own data, and of the same data held out."""
    runner = compiled(plan)
    own, held_out = runner.counter(), runner.counter((x, t))
    assert own is not None
    assert held_out is not None
    return own(), held_out()


@pytest.mark.exhaustive
def test_every_size_in_every_role(dtype: str) -> None:
    for size in (*SIZES, 783):
        for sizes in ((size, 20, 4), (20, size, 4), (20, 30, size), (20, size), (9, 300, size)):
            for samples in (1, 2, 3, 7, 50):
                plan, x, t = whole_numbers(sizes, samples, dtype)
                if compiled(plan).compressed:
                    expected = right_answers(plan, x, t)
                    assert counts(plan, x.astype(dtype), t) == (expected, expected), sizes


@pytest.mark.parametrize("sizes", NETWORKS, ids=str)
@pytest.mark.parametrize("samples", [1, 255, 256, 257, 1300])
def test_any_number_of_threads(
    sizes: tuple[int, ...], samples: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, x, t = whole_numbers(sizes, samples, dtype, density=0.1)
    expected = right_answers(plan, x, t)
    for threads in (1, 2, 3):
        use_threads(monkeypatch, threads)
        assert counts(plan, x.astype(dtype), t) == (expected, expected)


def test_room_for_as_many_threads_as_count(monkeypatch: pytest.MonkeyPatch) -> None:
    use_threads(monkeypatch, 3)
    monkeypatch.setattr(numba_runner, "OPERATIONS_OF_A_THREAD", 1e5)
    plan, x, t = whole_numbers((20, 30, 4), 10, "float32", density=0.1)
    runner = compiled(plan)
    count = runner.counter()
    assert count is not None
    assert len(runner.rooms) == 1
    more, u = np.tile(x, (500, 1)).astype("float32"), np.tile(t, 500)
    count_more = runner.counter((more, u))
    assert count_more is not None
    assert len(runner.rooms) == 3
    expected = right_answers(plan, x, t)
    assert (count(), count_more(), count()) == (expected, 500 * expected, expected)


@pytest.mark.parametrize("kind", DTYPES_OF_DATA)
@pytest.mark.parametrize("held_out", DTYPES_OF_DATA)
def test_data_of_any_dtype(kind: str, held_out: str, dtype: str) -> None:
    """Training data of one dtype, other data of another, of another length and density."""
    _, x, t = whole_numbers((40, 20, 5), 300, dtype)
    plan, _, _ = whole_numbers((40, 20, 5), 300, dtype)
    plan.arrays["x_data"] = np.abs(x).astype(kind)
    other, u = data_set(77, 40, 5, density=0.05, seed=5)
    other = np.abs(np.ceil(other))
    runner = compiled(plan)
    own, another = runner.counter(), runner.counter((other.astype(held_out), u))
    assert own is not None
    assert another is not None
    assert own() == right_answers(plan, np.abs(x), t)
    assert another() == right_answers(plan, other, u)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
@pytest.mark.parametrize("sizes", [(30, 4), (30, 20, 4), (30, 400, 4), (30, 20, 100)], ids=str)
def test_a_network_that_diverged(sizes: tuple[int, ...], name: str, bad: float, dtype: str) -> None:
    """Zero times infinity is NaN, and NaN is the largest score."""
    if len(sizes) == 2 and name[1] == "2":
        pytest.skip("there is no second layer")
    plan, x, t = whole_numbers(sizes, 300, dtype, density=0.1, bad={name: bad})
    if name[0] == "W":
        x[:, -1] = 0
    x[::7, -1] = 1
    plan.arrays["x_data"] = x.astype(dtype)
    expected = right_answers(plan, x, t)
    assert counts(plan, x.astype(dtype), t) == (expected, expected)
    t = np.zeros(len(x), np.int64)
    plan.arrays["t_data"] = t
    expected = right_answers(plan, x, t)
    assert counts(plan, x.astype(dtype), t) == (expected, expected)


def test_scores_that_overflow(dtype: str) -> None:
    """Weights as large as they can be, whose sums are infinite in any order."""
    plan, x, t = whole_numbers((30, 20, 4), 300, dtype)
    x = np.abs(x)
    plan.arrays["x_data"] = x.astype(dtype)
    plan.arrays["W1"] = np.abs(plan.arrays["W1"]) * np.finfo(dtype).max
    plan.arrays["W2"] *= np.finfo(dtype).max
    with fastnn.use_backend("numpy"):
        layers = [fastnn.Affine(plan.arrays[f"W{i}"], plan.arrays[f"b{i}"]) for i in (1, 2)]
        network = fastnn.Sequential([layers[0], fastnn.Relu(), layers[1]])
    expected = round(network.accuracy(x, t) * len(x))
    assert counts(plan, x.astype(dtype), t) == (expected, expected)


@pytest.mark.parametrize("classes", [1, 2, 16, 17, 64, 65, 130])
@pytest.mark.parametrize("scores", ["equal", "nan", "two nan"])
def test_the_first_of_equal_scores_counts(classes: int, scores: str, dtype: str) -> None:
    plan, x, _ = whole_numbers((12, 5, classes), 4 * classes, dtype)
    for name in ("W2", "b2"):
        plan.arrays[name][...] = 0
    if scores != "equal":
        plan.arrays["b2"][-1] = np.nan
    if scores == "two nan":
        plan.arrays["b2"][classes // 2] = np.nan
    t = np.arange(4 * classes) % classes
    plan.arrays["t_data"] = t
    assert counts(plan, x.astype(dtype), t) == (4, 4)


def test_what_is_dense_is_left_to_the_network() -> None:
    plan, x, t = whole_numbers((40, 20, 5), 300, "float32")
    dense = np.ones_like(x, "float32")
    assert compiled(plan).counter((dense, t)) is None
    plan.arrays["x_data"] = dense
    assert compiled(plan).counter() is None
    assert compiled(plan).counter((x.astype("float32"), t)) is None


def test_labels_out_of_range_are_wrong_answers() -> None:
    """A user's call refuses them; they are no addresses either."""
    plan, x, t = whole_numbers((40, 20, 5), 300, "float32")
    t[:4] = [-1, 5, 2**40, -(2**40)]
    expected = right_answers(plan, x, t)
    assert counts(plan, x.astype("float32"), t) == (expected, expected)


def test_counting_leaves_the_training_alone(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits with an evaluation between any two runs, and the parameters as they are now."""
    use_threads(monkeypatch, 2)
    x, t = data_set(300, 30, 4)
    results = []
    for evaluated in (False, True):
        plan = plan_of((30, 20, 4), x, t, 10, dtype, "numba")
        runner = compiled(plan)
        losses = []
        for run in range(4):
            rows = np.random.default_rng(run).permutation(300).reshape(30, 10)
            losses.append(runner.run(rows, {"lr": 0.1}))
            if evaluated:
                count = runner.counter((x.astype(dtype), t))
                assert count is not None
                runner.flush()
                assert abs(count() - right_answers(plan, x.astype(dtype), t)) <= 1
        runner.flush()
        results.append([*losses, *(plan.arrays[name] for name in sorted(plan.arrays))])
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def fit_and_ask(network: Any, x: Any, t: Any, validation: Any, **options: Any) -> Any:
    """The accuracies that `fit` found, and those that the network gave a callback."""
    asked: list[list[float]] = [[], []]

    def ask(network: Any, history: Any) -> None:
        asked[0].append(network.accuracy(x, t))
        asked[1].append(network.accuracy(*validation))
        network.params["W1"] *= 0.75
        network.params["b1"] = -network.params["b1"]

    history = fastnn.fit(
        network, x, t, epochs=4, batch_size=32, seed=0, validation=validation, progress=False,
        callbacks=[ask], **options,
    )  # fmt: skip
    return (history.train_accuracies, history.validation_accuracies), asked


@pytest.mark.parametrize(("dtype", "kind"), [*itertools.product(FLOATS, FLOATS), *BYTES])
@pytest.mark.parametrize("density", [0.2, 1.0])
@pytest.mark.parametrize("other", [0.1, 1.0])
def test_history_of_fit(
    backend: Backend, dtype: str, kind: str, density: float, other: float
) -> None:
    """On every backend, for images, one-hot labels, data of other kinds; parameters changed."""
    x, t = data_set(301, 30, 4, density=density)
    x = np.ceil(np.abs(x)).astype(kind).reshape(-1, 5, 6)
    u, v = data_set(99, 30, 4, density=other, seed=7)
    validation = (np.abs(u).reshape(-1, 5, 6), np.eye(4)[v])
    network = fastnn.MultiLayerNet(30, [20, 17], 4, dtype=dtype, seed=0)
    for found, asked in zip(*fit_and_ask(network, x, t, validation), strict=True):
        assert len(found) == 4
        np.testing.assert_allclose(found, asked, rtol=0, atol=1.01 / 99)


@pytest.mark.filterwarnings("ignore:inputs x lie|the training has diverged:fastnn.TrainingWarning")
def test_history_when_it_diverges(dtype: str) -> None:
    x, t = data_set(301, 30, 4)
    with fastnn.use_backend("numba"):
        network = fastnn.TwoLayerNet(30, 20, 4, dtype=dtype, seed=0)
    found, asked = fit_and_ask(network, 1e6 * x, t, (x[:50], t[:50]), optimizer=fastnn.SGD(1e20))
    assert not np.isfinite(network.params["W1"]).all()
    np.testing.assert_array_equal(found, asked)


def test_a_users_own_accuracy_and_predict_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reversed(fastnn.TwoLayerNet):
        def accuracy(self, x: Any, t: Any) -> float:
            return 1 - super().accuracy(x, t)

    class Halved(fastnn.TwoLayerNet):
        def predict(self, x: Any) -> Any:
            return super().predict(x) / 2

    x, t = data_set(301, 30, 4)
    monkeypatch.setattr(evaluation, "count_right", None)
    with fastnn.use_backend("numba"):
        networks: list[Any] = [kind(30, 20, 4, seed=0) for kind in (Reversed, Halved)]
        networks.append(fastnn.TwoLayerNet(30, 20, 4, seed=0))
    networks[2].accuracy = lambda x, t: 0.25
    for network in networks:
        found, asked = fit_and_ask(network, x, t, (x[:50], t[:50]))
        assert found == tuple(asked)


def test_sparse_data_is_not_evaluated_by_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    x, t = data_set(301, 30, 4)
    with fastnn.use_backend("numba"):
        network = fastnn.TwoLayerNet(30, 20, 4, seed=0)
    evaluated: list[int] = []
    accuracy = Sequential.accuracy

    def watched(self: Any, x: Any, t: Any) -> float:
        evaluated.append(len(x))
        return accuracy(self, x, t)

    monkeypatch.setattr(Sequential, "accuracy", watched)
    fastnn.fit(network, x, t, validation=(x[:99], t[:99]), progress=False)
    assert not evaluated
