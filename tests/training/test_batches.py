"""Batches that come one after the other, on every engine."""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import MeanSquaredError, MultiLayerNet, SoftmaxWithLoss
from fastnn.backends import Backend
from fastnn.training import batch_feed
from tests.helpers.networks import parameters
from tests.helpers.problems import Batch, relative_error

Array = np.ndarray[Any, Any]
Pairs = list[tuple[Any, ...]]


@pytest.fixture
def data() -> Batch:
    return Batch(90, 30, 3)


def network_of(dtype: str = "float64", **options: Any) -> MultiLayerNet:
    return MultiLayerNet(30, [9, 70], 3, dtype=dtype, seed=1, **options)


def cut(order: Array, sizes: Any) -> list[Array]:
    """The rows of batches of these sizes, again and again."""
    found: list[Array] = []
    begin = 0
    for size in itertools.cycle(sizes):
        if begin >= len(order):
            return found
        found.append(order[begin : begin + size])
        begin += size
    return found


def pairs(data: Batch, order: Array, sizes: Any) -> Pairs:
    return [(data.x[rows], data.t[rows]) for rows in cut(order, sizes)]


def fitted(network: Any, *given: Any, **options: Any) -> tuple[Any, dict[str, Array]]:
    history = fastnn.fit(network, *given, progress=False, **{"seed": 5, **options})
    return history, parameters(network)


def assert_same(found: dict[str, Array], right: dict[str, Array], bound: float = 0.0) -> None:
    for name in right:
        assert relative_error(found[name], right[name]) <= bound, name


BOUND = {"numba": 1e-12}
"""There the features of the first layer are cut where the first chunk says, so sums differ."""


@pytest.mark.parametrize("chunk", [1, 6000, 1 << 26])
def test_they_train_as_the_data_set_does_in_that_order(
    backend: Backend, data: Batch, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, for chunks of one batch, of some and of all."""
    monkeypatch.setattr(batch_feed, "CHUNK_BYTES", chunk)
    generator = np.random.default_rng(5)
    epochs = [pairs(data, generator.permutation(90), [16]) for _ in range(3)]
    source = iter(epochs)
    history, found = fitted(network_of(), fastnn.batches(lambda: next(source)), epochs=3)
    options = {"epochs": 3, "batch_size": 16}
    right_history, right = fitted(network_of(), data.x, data.t, **options)
    bound = BOUND.get(backend.name, 0.0)
    np.testing.assert_allclose(history.losses, right_history.losses, rtol=bound, atol=0)
    assert_same(found, right, bound)
    assert (history.epochs, history.samples, len(history.epoch_seconds)) == (3, 270, 3)


@pytest.mark.parametrize("chunk", [1, 6000])
def test_batches_of_any_sizes(
    backend: Backend, data: Batch, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also larger than any before, beside gradient and update, with state that goes on."""
    monkeypatch.setattr(batch_feed, "CHUNK_BYTES", chunk)
    some = pairs(data, np.arange(90), [3, 7, 7, 1, 20, 30, 2])
    network, optimizer, losses = network_of(), fastnn.Momentum(0.05), []
    for _, (x, t) in itertools.product(range(2), some):
        losses.append(network.loss(x, t))
        optimizer.update(network.params, network.gradient(x, t))
    history, found = fitted(
        network_of(), fastnn.batches(some), epochs=2, optimizer=fastnn.Momentum(0.05)
    )
    np.testing.assert_allclose(history.losses, losses, rtol=1e-10)
    assert_same(found, parameters(network), 1e-10)


def test_the_size_of_a_chunk_changes_no_bit(
    backend: Backend, data: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of dense data, in float32; with layers that keep state, and masks."""
    x, results = 0.5 + data.x, []
    some = [(x[rows], data.t[rows]) for rows in cut(np.arange(90), [20, 20, 25])]
    for chunk in (1, 5000, 1 << 26):
        monkeypatch.setattr(batch_feed, "CHUNK_BYTES", chunk)
        network = network_of("float32", use_batchnorm=True, use_dropout=True)
        history, found = fitted(network, fastnn.batches(some), epochs=2)
        results.append((history.losses, found, fastnn.to_numpy(network.predict(x))))
    for losses, found, scores in results[1:]:
        assert losses == results[0][0]
        assert_same(found, results[0][1])
        np.testing.assert_array_equal(scores, results[0][2])


def test_the_work_grows_as_the_number_of_batches_does() -> None:
    """Counted in calls: where many fill a chunk, none is looked at again for the next one."""

    def calls(samples: int) -> int:
        x, t = np.zeros((samples, 30)), np.arange(samples) % 3
        source = [(x[i : i + 1], t[i : i + 1]) for i in range(samples)]
        count = 0

        def note(*_: Any) -> None:
            nonlocal count
            count += 1

        with fastnn.use_backend("numpy"):
            network = network_of()
            before = sys.getprofile()
            sys.setprofile(note)
            try:
                batch_feed.BatchFeed(network, fastnn.batches(source))
            finally:
                sys.setprofile(before)
        return count

    calls(10)
    assert calls(800) < 2.2 * calls(400)


def test_weights_of_samples(backend: Backend, data: Batch) -> None:
    w = np.arange(90.0) % 7
    w[16:32] = 0
    rows = cut(np.arange(90), [16])
    history, found = fitted(
        network_of(), fastnn.batches([(data.x[some], data.t[some], w[some]) for some in rows])
    )
    network, losses = network_of(), []
    for some in rows:
        if not w[some].any():
            losses.append(0.0)
            continue
        batch, weights = (data.x[some], data.t[some]), {"sample_weight": w[some]}
        losses.append(network.loss(*batch, **weights))
        fastnn.SGD(0.1).update(network.params, network.gradient(*batch, **weights))
    np.testing.assert_allclose(history.losses, losses, rtol=1e-11)
    assert_same(found, parameters(network), 1e-11)


def test_bytes_numbers_and_validation(backend: Backend) -> None:
    """Pixels stay bytes; validation has accuracies or scores and losses, the training none."""
    rng = np.random.default_rng(0)
    x, t = rng.integers(0, 256, (60, 30)).astype("uint8"), rng.standard_normal((60, 3))
    network = network_of("float32")
    network.lastLayer = MeanSquaredError()
    some = [(x[rows], t[rows]) for rows in cut(np.arange(60), [25])]
    seen: list[Any] = []

    def look(network: Any, history: Any) -> bool:
        seen.append(network.score(x[:20] / 255, t[:20]))
        return len(seen) == 2

    history = fastnn.fit(
        network, fastnn.batches(some), scale=1 / 255, epochs=9, validation=(x[:20], t[:20]),
        callbacks=[look], progress=False,
    )  # fmt: skip
    np.testing.assert_allclose(history.validation_scores, seen, rtol=1e-6)
    assert history.train_scores == []
    assert history.validation_losses[-1] == pytest.approx(network.loss(x[:20] / 255, t[:20]), 1e-5)
    assert history.epochs == 2


class Sized:
    """What is gone through anew each time, and tells its length, as a DataLoader."""

    def __init__(self, some: Pairs) -> None:
        self.some, self.begun = some, 0

    def __iter__(self) -> Iterator[Any]:
        self.begun += 1
        return iter(map(list, self.some))

    def __len__(self) -> int:
        return len(self.some)


def test_sources(backend: Backend, data: Batch) -> None:
    some = pairs(data, np.arange(90), [30])
    right = fitted(network_of(), fastnn.batches(some), epochs=2)[1]
    sized = Sized(some)
    for source in (sized, lambda: (pair for pair in some), tuple(some), lambda: sized):
        assert_same(fitted(network_of(), fastnn.batches(source), epochs=2)[1], right)
    assert sized.begun == 4
    once = fitted(network_of(), fastnn.batches(iter(some)))[1]
    assert_same(once, fitted(network_of(), fastnn.batches(some))[1])
    assert fitted(network_of(), fastnn.batches(some), epochs=0)[0].losses == []


def test_a_data_loader(backend: Backend, data: Batch) -> None:
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(data.x), torch.from_numpy(data.t))
    loader = torch.utils.data.DataLoader(tensors, batch_size=40)
    found = fitted(network_of(), fastnn.batches(loader), epochs=2)[1]
    right = fitted(network_of(), fastnn.batches(pairs(data, np.arange(90), [40])), epochs=2)[1]
    assert_same(found, right)


def test_sparse_batches(backend: Backend, data: Batch) -> None:
    """Each is made dense when it comes."""
    sparse = pytest.importorskip("scipy.sparse")
    some = pairs(data, np.arange(90), [30])
    given = [(sparse.csr_array(x), t) for x, t in some]
    if backend.name == "strict":
        with pytest.raises(TypeError, match=r"batch 0: x is sparse, .*toarray"):
            fitted(network_of(), fastnn.batches(given))
        return
    found = fitted(network_of(), fastnn.batches(given), epochs=2)[1]
    assert_same(found, fitted(network_of(), fastnn.batches(some), epochs=2)[1])


def test_progress_without_a_length(
    backend: Backend, data: Batch, capsys: pytest.CaptureFixture[str]
) -> None:
    some = pairs(data, np.arange(90), [30])
    fastnn.fit(network_of(), fastnn.batches(lambda: iter(some)), epochs=2)
    fastnn.fit(network_of(), fastnn.batches(some), epochs=2)
    assert "Error" not in capsys.readouterr().err


def test_going_on_inside_an_epoch(
    backend: Backend, data: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkpoint after some of 2 times 5 batches, to the same bits."""
    monkeypatch.setattr(batch_feed, "CHUNK_BYTES", 6000)
    data.x += 0.5
    some = pairs(data, np.arange(90), [20])
    right_history, right = fitted(network_of(), fastnn.batches(some), epochs=2)
    for steps in (2, 4):
        path, epochs = tmp_path / f"after {steps}", iter(["whole", "broken"])

        def source(epochs: Iterator[str] = epochs) -> Iterator[Any]:
            yield from some[:4]
            if next(epochs) == "broken":
                raise OSError("no more")
            yield from some[4:]

        checkpoint = fastnn.Checkpoint(path, steps=steps)
        with pytest.raises(OSError, match="no more"):
            fitted(network_of(), fastnn.batches(source), epochs=2, callbacks=[checkpoint])
        history, found = fitted(network_of(), fastnn.batches(some), epochs=2, resume=path)
        assert history.losses == right_history.losses
        assert (history.epochs, history.epoch_steps) == (2, [5, 5])
        assert_same(found, right)


# What is refused

Bad = tuple[Callable[[Batch], Any], type[Exception], str]


def then(*bad: Any) -> Callable[[Batch], Any]:
    """Two good batches, and then another one."""
    return lambda data: [*pairs(data, np.arange(40), [20]), bad if len(bad) > 1 else bad[0]]


def floats_after_bytes(data: Batch) -> Any:
    return [((9 * data.x).astype("uint8"), data.t), (data.x, data.t)]


def weights_at_first(data: Batch) -> Any:
    return [(data.x, data.t, np.ones(90)), (data.x, data.t)]


ONES = np.ones((4, 30))
BAD: dict[str, Bad] = {
    "NaN": (
        then(np.where(np.arange(30) == 7, np.nan, ONES), [0] * 4), ValueError,
        r"^batch 2: x\[0, 7\] is nan: training needs finite inputs",
    ),
    "a label": (then(ONES, [0, 1, 3, 0]), ValueError, r"^label batch 2: t\[2\] is 3: labels are"),
    "text": (then(ONES, list("abca")), TypeError, r"^batch 2: t has dtype str.*LabelEncoder"),
    "another length": (then(ONES, [0, 1]), ValueError, r"^batch 2: x has 4 samples .* t has 2"),
    "fewer features": (
        then(ONES[:, :9], [0] * 4), ValueError, r"^batch 2: x has shape \(4, 9\), and in the first",
    ),
    "no samples": (then(ONES[:0], []), ValueError, r"^batch 2: x has shape \(0, 30\): an empty"),
    "a column": (then(ONES, [[0]] * 4), ValueError, r"batch 2: t have shape \(4, 1\).*t\.ravel"),
    "floats after bytes": (floats_after_bytes, ValueError, "^batch 1: x has dtype float.*uint8: m"),
    "weights at once": (
        then(ONES, [0] * 4, [1] * 4), ValueError, "^batch 2: it has a sample_weight, and the first",
    ),
    "no weights": (weights_at_first, ValueError, "^batch 1: it has no sample_weight.* has some"),
    "a negative weight": (
        lambda data: [(data.x, data.t, -np.ones(90))], ValueError,
        r"^batch 0: sample_weight\[0\] is -1.0",
    ),
    "an array": (then(ONES), TypeError, r"^batch 2 is a numpy.ndarray.*expected a pair \(x, t\)"),
    "a dictionary": (then({"x": ONES}), TypeError, r"^batch 2 is a dict.*fastnn\.batches\(lambda"),
    "four of them": (then(ONES, 1, 2, 3), TypeError, "^batch 2 is a tuple of 4: expected a pair"),
    "nothing": (lambda data: [], ValueError, r"there is no batch 0: <.* a list.*is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("chunk", [1, 1 << 26])
def test_what_is_wrong_with_a_batch(
    backend: Backend, data: Batch, case: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names it, and the network holds the steps before; none, if it came at first."""
    monkeypatch.setattr(batch_feed, "CHUNK_BYTES", chunk)
    make, error, words = BAD[case]
    network = network_of()
    before = parameters(network)
    with pytest.raises(error, match=words):
        fastnn.fit(network, fastnn.batches(make(data)), progress=False)
    taken = any((parameters(network)[name] != before[name]).any() for name in before)
    assert taken == (chunk == 1 and case not in ("nothing", "a negative weight"))
    assert np.isfinite(network.loss(data.x, data.t))
    fitted(network, data.x, data.t, batch_size=30)


def test_errors_of_the_source_name_the_batch(backend: Backend, data: Batch) -> None:
    def broken() -> Iterator[Any]:
        yield data.x, data.t
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file") as caught:
        fastnn.fit(network_of(), fastnn.batches(broken), progress=False)
    assert caught.value.__notes__ == ["as fit asked for batch 1"]


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize("chunk", [1, 1 << 26])
def test_ctrl_c_while_a_batch_is_asked_for(
    backend: Backend, data: Batch, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, it ends the training; twice, it cuts the source short."""
    monkeypatch.setattr(batch_feed, "CHUNK_BYTES", chunk)
    some = pairs(data, np.arange(90), [30])
    after: list[str] = []
    for presses in (1, 2):

        def source(presses: int = presses) -> Iterator[Any]:
            yield from some
            if len(after) == presses:
                for _ in range(presses):
                    signal.raise_signal(signal.SIGINT)
            after.append("asked")
            yield from some

        network = network_of()
        after[:] = ["asked"] * (presses - 1)
        if presses == 1:
            history = fastnn.fit(network, fastnn.batches(source), epochs=5, progress=False)
            assert history.interrupted
            assert history.epochs == 1
        else:
            with pytest.raises(KeyboardInterrupt) as caught:
                fastnn.fit(network, fastnn.batches(source), epochs=5, progress=False)
            assert caught.value.history.epochs == 1  # type: ignore[attr-defined]
        assert np.isfinite(network.loss(data.x, data.t))


def test_a_loader_itself_is_told_to_be_wrapped(backend: Backend, data: Batch) -> None:
    for given in ((pair for pair in [(data.x, data.t)]), zip([data.x], [data.t], strict=True)):
        with pytest.raises(TypeError, match=r"fastnn\.fit\(network, fastnn\.batches\(x\)\)"):
            fastnn.fit(network_of(), given)
    with pytest.raises(TypeError, match="t is None"):
        fastnn.fit(network_of(), data.x)


def test_what_can_be_gone_through_but_once(backend: Backend, data: Batch) -> None:
    some = pairs(data, np.arange(90), [30])
    network = network_of()
    words = r"epochs is 2, and a generator is used up after one: .*fastnn\.batches\(function\)"
    with pytest.raises(ValueError, match=words):
        fastnn.fit(network, fastnn.batches(pair for pair in some), epochs=2, progress=False)
    same = iter(some)
    with pytest.raises(ValueError, match=r"there is no batch 0 of epoch 2"):
        fastnn.fit(network, fastnn.batches(lambda: same), epochs=2, progress=False)
    assert np.isfinite(network.loss(data.x, data.t))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"t": [1]}, "t was given, and x is <batches from a list.*pairs"),
        ({"batch_size": 5}, "batch_size was given, .*have their sizes"),
        ({"sample_weight": [1.0]}, r"sample_weight was given, .*triples \(x, t, sample_weight\)"),
        ({"validation_split": 0.5}, r"validation_split was given, .*validation=\(x, t\)"),
    ],
)
def test_options_that_batches_have_themselves(
    data: Batch, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        fastnn.fit(network_of(), fastnn.batches([(data.x, data.t)]), **options)


@pytest.mark.parametrize("source", [np.ones((4, 3)), 3, {"x": 1}, "text", None])
def test_what_gives_no_batches(source: Any) -> None:
    with pytest.raises(TypeError, match="batches takes what gives pairs"):
        fastnn.batches(source)
    if isinstance(source, int):
        with pytest.raises(TypeError, match="the function given to batches must give batches"):
            fastnn.fit(network_of(), fastnn.batches(lambda: source), progress=False)  # type: ignore[arg-type,return-value]


def test_batches_too_small_for_a_layer(backend: Backend, data: Batch) -> None:
    network = network_of(use_batchnorm=True)
    some = pairs(data, np.arange(90), [89])
    words = r"^batch 1: it has 1 samples, and layer 'BatchNorm1' .* of 2 or more: leave it out"
    with pytest.raises(ValueError, match=words):
        fastnn.fit(network, fastnn.batches(some), progress=False)


def test_a_loss_of_ones_own(backend: Backend, data: Batch) -> None:
    class Own(SoftmaxWithLoss):
        """As the one it derives from."""

        def forward(self, x: Any, t: Any) -> Any:  # type: ignore[override]
            return super().forward(x, t)

    network = network_of()
    network.lastLayer = Own()
    some = pairs(data, np.arange(90), [30])
    found = fitted(network, fastnn.batches(some))[1]
    assert_same(found, fitted(network_of(), fastnn.batches(some))[1], 1e-10)
