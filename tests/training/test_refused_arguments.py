"""What a beginner hands to `fit` by mistake: it is told before anything is trained or written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import fastnn
from fastnn import Callback, Checkpoint, CSVLogger, EarlyStopping, TwoLayerNet
from fastnn.backends import Backend
from tests.helpers.problems import Batch
from tests.helpers.refusals import WITH_LABELS, refuses


@pytest.fixture
def network(backend: Backend) -> TwoLayerNet:
    return TwoLayerNet(12, 5, 4, 0.5, seed=1)


def fit_with(**options: Any) -> Callable[..., Any]:
    def call(network: Any, x: Any, t: Any) -> Any:
        return fastnn.fit(network, x, t, **{"batch_size": 3, "progress": False, **options})

    return call


class TakesNothing(Callback):
    def on_epoch_end(self) -> None:  # type: ignore[override]
        raise AssertionError


class SavesNothing(Callback):
    def load_state_dict(self) -> None:  # type: ignore[override]
        raise AssertionError


class OfKeras(Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        raise AssertionError


class Misspelt(Callback):
    def on_epoch_ends(self, training: Any) -> None:
        raise AssertionError


class OfOneArgument:
    def __call__(self, network: Any) -> None:
        raise AssertionError


ARGUMENTS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a number to resume": ({"resume": 3}, TypeError, "resume must be a path.* got 3"),
    "bytes to resume": ({"resume": b"a"}, TypeError, "resume must be a path.* got b'a'"),
    "nothing to resume": ({"resume": ""}, ValueError, "resume is an empty text"),
    "text for progress": ({"progress": "a"}, TypeError, "progress must be True or False, got 'a'"),
    "a number among callbacks": (
        {"callbacks": [print, 3]}, TypeError,
        r"callbacks must be a list of functions of \(network, history\).*callbacks\[1\] is 3",
    ),
    "one callback": (
        {"callbacks": EarlyStopping()}, TypeError, r"EarlyStopping: write callbacks=\[...\]",
    ),
    "the class of a callback": (
        {"callbacks": [EarlyStopping]}, TypeError, "the class EarlyStopping itself: make an object",
    ),
    "a function of nothing": (
        {"callbacks": [lambda: 1]}, TypeError,
        r"callback <lambda>\(\) is not to be called.*\(network, history\): too many positional",
    ),
    "a function of three": (
        {"callbacks": [lambda a, b, c: 1]}, TypeError, r"<lambda>\(a, b, c\).*missing .*'c'",
    ),
    "an object of one argument": ({"callbacks": [OfOneArgument()]}, TypeError, "OfOneArgument"),
    "a method of nothing": (
        {"callbacks": [TakesNothing()]}, TypeError, r"TakesNothing.on_epoch_end\(\).*\(training\)",
    ),
    "a state of nothing": (
        {"callbacks": [SavesNothing()]}, TypeError, r"SavesNothing.load_state_dict\(\).*\(state\)",
    ),
    "a method of Keras": (
        {"callbacks": [OfKeras()]}, TypeError,
        "OfKeras.on_epoch_begin is called by nothing: fit calls on_train_begin, on_step_end,",
    ),
    "a method with another name": (
        {"callbacks": [Misspelt()]}, TypeError, "Misspelt.on_epoch_ends .*mean 'on_epoch_end'",
    ),
    "the name of an optimizer": (
        {"optimizer": "adam"}, TypeError, r"not its name: write optimizer=fastnn\.Adam\(\)",
    ),
    "a wrong name of an optimizer": (
        {"optimizer": "adma"}, TypeError, r"fastnn\.Adam\(\): .*got 'adma'; did you mean 'adam'",
    ),
    "the class of an optimizer": (
        {"optimizer": fastnn.Adam}, TypeError,
        r"the class Adam itself: make an object of it, optimizer=Adam\(\.\.\.\)",
    ),
    "a rate for an optimizer": ({"optimizer": 0.1}, TypeError, r"SGD\(0\.1\).*got 0\.1"),
    "early stopping without validation": (
        {"callbacks": [EarlyStopping()]}, ValueError,
        r"validation=\(x, t\), or with validation_split=0\.1",
    ),
    "a name of Keras to monitor": (
        {"callbacks": [EarlyStopping(monitor="val_loss")], "validation_split": 0.3}, ValueError,
        "'val_loss', .*choose another monitor; did you mean 'validation_loss'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_that_are_told(network: TwoLayerNet, batch: Batch, case: str) -> None:
    options, error, words = ARGUMENTS[case]
    refuses(error, words, fit_with(**options), network, batch.x, batch.t)


def test_callbacks_that_can_be_called(network: TwoLayerNet, batch: Batch) -> None:
    seen: list[Any] = []

    class Both(Callback):
        def on_epoch_end(self, training: Any, more: int = 0) -> None:
            seen.append(self.one_of_mine())

        def one_of_mine(self) -> str:
            return "a method"

    def of_any(*arguments: Any) -> None:
        seen.append(len(arguments))

    fit_with(callbacks=[of_any, Both(), print])(network, batch.x, batch.t)
    assert seen == [2, "a method"]


def test_a_table_stays_where_another_callback_refuses(
    network: TwoLayerNet, batch: Batch, tmp_path: Path
) -> None:
    """No callback begins before all of them have agreed."""
    table = tmp_path / "training.csv"
    table.write_text("of yesterday", "utf-8")
    callbacks = [CSVLogger(table), EarlyStopping()]
    refuses(ValueError, "monitors", fit_with(callbacks=callbacks), network, batch.x, batch.t)
    assert table.read_text("utf-8") == "of yesterday"
    nowhere = CSVLogger(tmp_path / "nowhere" / "training.csv")
    refuses(
        FileNotFoundError, "there is no directory .*nowhere", fit_with(callbacks=[nowhere]),
        network, batch.x, batch.t,
    )  # fmt: skip


@pytest.mark.parametrize("make", [Checkpoint, CSVLogger])
def test_files_that_cannot_be_are_told_at_once(make: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"path must be a path, such as 'training.*got 3"):
        make(3)
    with pytest.raises(ValueError, match="path is an empty text"):
        make("")
    with pytest.raises(IsADirectoryError, match=r"is a directory: name a file in it, such as .*tr"):
        make(tmp_path)


def test_a_directory_for_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    with pytest.raises(TypeError, match=r"directory must be a path.* got None"):
        fastnn.TensorBoard(cast(Any, None))


def test_what_to_resume_is_not_there(network: TwoLayerNet, batch: Batch, tmp_path: Path) -> None:
    (tmp_path / "training.safetensors").touch()
    for name, error, words in (
        ("trainin.safetensors", FileNotFoundError,
         r"no file .*mean .*training\.safetensors\?\).*fastnn\.Checkpoint\(path\).*writes one"),
        ("other", FileNotFoundError, r"there is no file .*other: fastnn\.Checkpoint\(path\)"),
        ("", IsADirectoryError, r"is a directory.*Checkpoint.*in it are training\.safetensors"),
    ):  # fmt: skip
        call = fit_with(resume=tmp_path / name)
        refuses(error, words, call, network, batch.x, batch.t)
    network.save(tmp_path / "network.safetensors")
    words = r"holds a network, and not a checkpoint of a training: fastnn\.Sequential\.load\(path\)"
    call = fit_with(resume=tmp_path / "network.safetensors")
    refuses(fastnn.CorruptFileError, words, call, network, batch.x, batch.t)


SHAPES: dict[str, tuple[Callable[[Any, Any], tuple[Any, Any]], str]] = {
    "one sample": (lambda x, t: (x[0], t[:1]), r"one sample pass x\[None\], of shape \(1, 12\)"),
    "swapped": (lambda x, t: (t, x), "x and t seem to be swapped: x has the inputs"),
    "swapped one-hot": (lambda x, t: (np.eye(4)[t], x), "seem to be swapped"),
    "swapped lists": (lambda x, t: (t.tolist(), x.tolist()), "seem to be swapped"),
    "columns for rows": (lambda x, t: (x.T, np.zeros(12, int)), r"samples are rows: pass x\.T"),
    "too few features": (lambda x, t: (x[:, :5], t), r"\(7, 5\).*\(12, 5\).*\(N, 12\)$"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_that_are_told(network: TwoLayerNet, batch: Batch, case: str) -> None:
    make, words = SHAPES[case]
    x, t = make(batch.x, batch.t)
    refuses(ValueError, words, fit_with(batch_size=None), network, x, t)
    if case == "one sample":
        return
    words = words.replace("$", ", N at least 1$")
    for name in ("loss", "gradient", "accuracy"):
        refuses(ValueError, words, WITH_LABELS[name], network, x, t)


def test_samples_of_one_feature(backend: Backend) -> None:
    x, t = np.linspace(0, 1, 6), np.arange(6) % 2
    network = TwoLayerNet(1, 3, 2, seed=0)
    words = r"samples of one feature pass x\.reshape\(-1, 1\), of shape \(6, 1\)"
    refuses(ValueError, words, fit_with(), network, x, t)
    for call in (network.predict, network.predict_proba, network.predict_classes):
        with pytest.raises(ValueError, match=words):
            call(x)
    assert network.predict(x.reshape(-1, 1)).shape == (6, 2)


def test_one_sample_of_other_features(network: TwoLayerNet, batch: Batch) -> None:
    with pytest.raises(ValueError, match=r"x has shape \(5,\), which is taken for one sample"):
        network.predict(batch.x[0, :5])
    with pytest.raises(ValueError, match=r"\(7, 5\).*N at least 1$"):
        network.predict(batch.x[:, :5])


def test_targets_that_are_missing(network: TwoLayerNet, batch: Batch) -> None:
    def call(network: Any, *arguments: Any) -> None:
        fastnn.fit(network, *arguments, progress=False)

    refuses(TypeError, r"t is None: .*fit\(network, x, t\)", call, network, batch.x)
    words = r"x is a pair and t is None: pass .*fit\(network, x, t\)"
    refuses(TypeError, words, call, network, (batch.x, batch.t))
    loader = (pair for pair in [(batch.x, batch.t)])
    refuses(TypeError, r"x is a generator: .*fastnn\.batches\(x\)", call, network, loader)


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        (lambda x, t: (x, t, t), r"a pair \(x, t\), got a tuple of 3"),
        (lambda x, t: x, r"a pair \(x, t\), got a numpy\.ndarray of shape \(7, 12\)"),
        (lambda x, t: 0.2, r"got a float; a share of the samples is validation_split"),
    ],
)
def test_validation_that_is_no_pair(
    network: TwoLayerNet, batch: Batch, validation: Any, words: str
) -> None:
    call = fit_with(validation=validation(batch.x, batch.t))
    refuses(TypeError, words, call, network, batch.x, batch.t)


@pytest.mark.parametrize("optimizer", ["adam", fastnn.Adam, 0.1])
def test_summaries_and_explanations_are_of_optimizers(network: TwoLayerNet, optimizer: Any) -> None:
    for call in (network.summary, lambda given: fastnn.explain(network, given)):
        with pytest.raises(TypeError, match="optimizer"):
            call(optimizer)


def test_rates_that_cannot_be_called() -> None:
    optimizer = fastnn.SGD(0.25)
    for rate in (lambda: 0.1, lambda step, epoch: 0.1):
        with pytest.raises(TypeError, match=r"function of the step, called as lr\(step\): "):
            fastnn.SGD(cast(Any, rate))
        with pytest.raises(TypeError, match=r"function of the step, called as lr\(step\): "):
            optimizer.lr = rate
    assert optimizer.lr == 0.25
    optimizer.lr = abs  # a builtin
    assert optimizer.lr is abs
