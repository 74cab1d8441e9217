"""What becomes of training when somebody writes to the data set meanwhile.

Labels are copied, so nothing is seen of that. Inputs may be seen, and are never an address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastnn import Affine, History, MultiLayerNet, Relu, Sequential, fit
from fastnn.backends import Backend
from tests.helpers.layers import AnySquaredError
from tests.helpers.networks import parameters, small
from tests.helpers.problems import Batch

OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 10, "seed": 1, "progress": False}


def affine(backend: Backend) -> Affine:
    W, b = np.ones((12, 4), "float32"), np.zeros(4, "float32")
    return Affine(backend.asarray(W), backend.asarray(b))


LABELS: dict[str, Callable[[Batch], Any]] = {
    "int64": lambda d: d.t.astype("int64"),
    "int32": lambda d: d.t.astype("int32"),
    "uint8": lambda d: d.t.astype("uint8"),
    "float64": lambda d: d.t.astype("float64"),
    "every other": lambda d: np.repeat(d.t, 2)[::2],
    "one-hot": lambda d: d.one_hot.copy(),
    "one-hot int64": lambda d: d.one_hot.astype("int64"),
}
SPOILERS: dict[str, Callable[[Any], Any]] = {
    "negative": lambda t: t.fill(-1 if t.dtype.kind != "u" else 255),
    "large": lambda t: t.fill(100),
    "dtype": lambda t: setattr(t, "dtype", "int8") if t.flags.c_contiguous else None,
    "shape": lambda t: setattr(t, "shape", (t.size, 1)) if t.flags.c_contiguous else None,
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("on_device", [False, True])
def test_labels_are_copied(
    backend: Backend, data: Batch, kind: str, spoiler: str, on_device: bool
) -> None:
    if on_device and not backend.on_host:
        pytest.skip("its arrays are not written to in this way")
    results = []
    for spoils in (False, True):
        t, held_out = LABELS[kind](data), LABELS[kind](data)
        if on_device:
            t, held_out = backend.asarray(t), backend.asarray(held_out)

        def spoil(network: Sequential, history: History, arrays: Any = (t, held_out)) -> None:
            if history.epochs == 1:
                for array in arrays:
                    SPOILERS[spoiler](array)

        network = small()
        history = fit(
            network, data.x, t, validation=(data.x, held_out), **OPTIONS,
            callbacks=[spoil] if spoils else [],
        )  # fmt: skip
        results.append((history.losses, history.train_accuracies, history.validation_accuracies))
    assert results[0] == results[1]
    assert results[0][1] == results[0][2]


@pytest.mark.filterwarnings("ignore:the training has diverged:fastnn.TrainingWarning")
@pytest.mark.parametrize("hidden", [[], [6], [70]])
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_inputs_that_change_are_no_address(
    backend: Backend, data: Batch, hidden: list[int], density: float
) -> None:
    x = np.where(np.random.default_rng(0).random(data.x.shape) < density, data.x + 0.1, 0)
    x = x.astype("float32")
    held_out = x.copy()

    def spoil(network: Sequential, history: History) -> None:
        x.fill(np.nan)
        held_out.fill(np.inf)

    network = MultiLayerNet(12, hidden, 4, seed=0)
    history = fit(network, x, data.t, validation=(held_out, data.t), callbacks=[spoil], **OPTIONS)
    assert history.epochs == 3
    assert np.isfinite(history.losses[:6]).all()


def test_another_shape_of_the_callers_array_is_not_ours(backend: Backend, data: Batch) -> None:
    x = data.x.copy()

    def reshape(network: Sequential, history: History) -> None:
        x.shape = (106, 6)

    for layers in (["affine"], ["relu", "affine"]):
        x.shape = (53, 12)
        results = []
        for callbacks in ([], [reshape]):
            made = {"affine": affine(backend)}
            network = Sequential([made.get(name) or Relu() for name in layers])
            results.append(fit(network, x, data.t, callbacks=callbacks, **OPTIONS).losses)
        assert results[0] == results[1]


def test_a_thread_that_writes_to_labels_while_they_are_checked(
    backend: Backend, data: Batch
) -> None:
    """Either an error that names a label, or training on labels that were in range."""
    for t in (np.tile(data.t, 20), np.tile(data.one_hot, (20, 1)), np.tile(data.t, 20) + 0.0):
        x, over, right = np.tile(data.x, (20, 1)), threading.Event(), t.copy()

        def write(t: Any = t, right: Any = right, over: threading.Event = over) -> None:
            while not over.is_set():
                t[7] = 10**6
                t[...] = right
                t[-1] = -5
                t[...] = right

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(25):
                try:
                    history = fit(small(), x, t, batch_size=100, progress=False)
                except ValueError as error:
                    assert "t" in str(error)  # noqa: PT017
                else:
                    assert np.isfinite(history.losses).all()
        finally:
            over.set()
            thread.join()


def test_targets_of_a_loss_of_ones_own_are_copied(backend: Backend, data: Batch) -> None:
    results = []
    for spoils in (False, True):
        t = data.one_hot.copy()
        network = Sequential([affine(backend)], AnySquaredError())

        def spoil(network: Sequential, history: History, t: Any = t) -> None:
            t.fill(np.nan)

        results.append(
            fit(network, data.x, t, callbacks=[spoil] if spoils else [], **OPTIONS).losses
        )
    assert results[0] == results[1]


VALIDATION: dict[str, tuple[Callable[[Batch], Any], str]] = {
    "label": (lambda d: (d.x, np.where(np.arange(53) == 3, 9, d.t)),
              r"label validation t\[3\] is 9"),
    "row": (lambda d: (d.x, d.one_hot * 2), "row 0 of validation t is not one-hot"),
    "one-hot": (lambda d: (d.x, d.one_hot[:, :3]), r"labels validation t have shape \(53, 3\)"),
    "labels": (lambda d: (d.x, d.t[:, None, None]), r"labels validation t have shape \(53, 1, 1\)"),
    "lengths": (lambda d: (d.x, d.t[1:]), r"validation x has 53 samples.*validation t has 52"),
    "empty": (lambda d: (d.x[:0], d.t[:0]), r"validation x has shape \(0, 12\)"),
    "flat": (lambda d: (d.x[0], d.t[:12]), r"validation x has shape \(12,\)"),
    "NaN": (lambda d: (d.x * np.nan, d.t), r"validation x\[0, 0\] is nan"),
    "features": (lambda d: (d.x[:, 1:], d.t), r"validation x has shape \(53, 11\)"),
    "complex": (lambda d: (d.x + 0j, d.t), "validation x"),
    "strings": (lambda d: (d.x, d.t.astype(str)), "validation t"),
    "masked": (lambda d: (np.ma.masked_array(d.x, d.x > 0.5), d.t), "validation"),
    "None": (lambda d: (None, d.t), "validation x"),
}  # fmt: skip


@pytest.mark.parametrize("case", VALIDATION)
def test_messages_say_that_it_is_validation_data(backend: Backend, data: Batch, case: str) -> None:
    make, words = VALIDATION[case]
    network = small()
    before = parameters(network)
    with pytest.raises((ValueError, TypeError), match=words):
        fit(network, data.x, data.t, validation=make(data), **OPTIONS)
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(array, before[name])


class Refusing:
    """A layer that has a reason of its own to refuse what it is given."""

    def forward(self, x: Any) -> Any:
        raise ValueError("the moon is full")

    def backward(self, dout: Any) -> Any:
        return dout


def test_an_error_of_a_layer_of_ones_own_is_its_own(backend: Backend, data: Batch) -> None:
    with pytest.raises(ValueError, match=r"^the moon is full") as caught:
        fit(Sequential([Refusing(), affine(backend)]), data.x, data.t, **OPTIONS)
    assert caught.value.__cause__ is None
    assert "first sample of x" in caught.value.__notes__[0]


def test_few_samples_are_all_used_by_default(backend: Backend, data: Batch) -> None:
    history = fit(small(), data.x, data.t, epochs=2, progress=False)
    assert len(history.losses) == 2
    assert history.samples == 106
    assert len(fit(small(), *twice(data), progress=False).losses) == 2
    with pytest.raises(ValueError, match="batch_size is 100, but there are 53 samples"):
        fit(small(), data.x, data.t, batch_size=100, progress=False)


def twice(data: Batch) -> tuple[Any, Any]:
    return np.concatenate([data.x, data.x]), np.concatenate([data.t, data.t])
