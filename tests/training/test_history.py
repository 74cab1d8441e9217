"""The history of a training; and training where standard error is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from fastnn import History, fit
from tests.helpers.exhaustive import exhaustive_but
from tests.helpers.networks import small
from tests.helpers.problems import CPU_BACKEND, Batch


def test_history_as_plain_values(data: Batch) -> None:
    history = fit(small(), data.x, data.t, epochs=2, batch_size=10, validation=(data.x, data.t),
                  progress=False)  # fmt: skip
    read = json.loads(json.dumps(history.as_dict()))
    assert read["losses"] == history.losses
    assert read["epochs"] == 2
    assert read["samples_per_second"] == history.samples_per_second
    assert History().samples_per_second == 0
    assert History(losses=[1.0, np.nan, np.inf]).as_dict()["losses"] == [1.0, None, None]


def test_it_prints_in_a_few_lines(data: Batch) -> None:
    history = fit(small(), data.x, data.t, epochs=50, batch_size=1, validation=(data.x, data.t),
                  progress=False)  # fmt: skip
    shown = repr(history)
    assert len(history.losses) == 2650
    assert len(shown) < 400
    assert len(shown.splitlines()) < 8
    for words in ("50 epochs, 2,650 steps", f"{history.losses[-1]:.4g}", "samples a second",
                  f"train accuracy {history.train_accuracies[-1]:.4f}"):  # fmt: skip
        assert words in shown
    assert "interrupted" in repr(History(interrupted=True))
    assert "nan" in repr(History(losses=[1.0, np.nan], epoch_seconds=[0.0]))


@pytest.mark.skipif(CPU_BACKEND != "numba", reason="Numba is not installed")
def test_compiling_is_told_and_left_out(tmp_path: object) -> None:
    program = """
        import numpy as np, time, fastnn
        class Scale:  # a network of few kernels: the loss and the update
            parameters = ("gamma",)
            def __init__(self):
                self.gamma = np.ones(4, "float32")
            def forward(self, x):
                self.x = x
                return x * self.gamma
            def backward(self, dout):
                self.dgamma = (dout * self.x).sum(axis=0)
                return dout * self.gamma
        fastnn.set_backend("numba", strict=True)
        x, t = np.random.default_rng(0).random((500, 4), "float32"), np.arange(500) % 4
        for network in (fastnn.Sequential([Scale()]), fastnn.Sequential([Scale()])):
            began = time.perf_counter()
            history = fastnn.fit(network, x, t, progress=False)
            print(time.perf_counter() - began, history.compile_seconds, history.seconds)
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    first, second = (list(map(float, line.split())) for line in done.stdout.splitlines())
    passed, compiling, training = first
    assert compiling > 0.5 * passed
    assert 0 < training <= passed - compiling
    assert second[1] == 0
    assert "compiling kernels" in done.stderr
    told = "compiled kernels for Scale, SoftmaxWithLoss with SGD in float32" in done.stderr
    assert told == (compiling >= 1)


BROKEN = {
    "None": "sys.stderr = None",
    "closed": "sys.stderr.close()",
    "full": "sys.stderr = open('/dev/full', 'w')",
    "a broken pipe": (
        "import os; r, w = os.pipe(); os.close(r); sys.stderr = os.fdopen(w, 'w', buffering=1)"
    ),
    "no stream": "sys.stderr = object()",
    "somebody's own": "sys.stderr = Own()",
}


@pytest.mark.parametrize("case", exhaustive_but(["full", "somebody's own"], BROKEN))
def test_without_a_standard_error_training_goes_on(case: str) -> None:
    if case == "full" and not os.path.exists("/dev/full"):  # noqa: PTH110
        pytest.skip("there is no /dev/full")
    program = f"""
        import sys, numpy as np, fastnn
        fastnn.set_backend("numpy")
        class Own:
            def write(self, text): raise ArithmeticError(text)
            def flush(self): raise ArithmeticError
        {BROKEN[case]}
        x, t = np.zeros((500, 30), "float32"), np.arange(500) % 4
        x[np.arange(500), t] = 1000  # which is warned of
        network = fastnn.TwoLayerNet(30, 20, 4, seed=0)
        history = fastnn.fit(network, x, t, epochs=3, progress=True)
        print(len(history.losses), network.accuracy(x, t))
        sys.stdout.flush()
        import os; os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.stdout.startswith("15 "), case


def test_by_epoch(data: Batch) -> None:
    history = fit(small(), data.x, data.t, epochs=3, batch_size=10, validation=(data.x, data.t),
                  progress=False)  # fmt: skip
    columns = history.by_epoch()
    assert list(columns)[-1] == "seconds"
    assert {"loss", "train_accuracy", "validation_accuracy"} <= columns.keys()
    assert history.epoch_steps == [6, 6, 6]
    for epoch in range(3):
        mean = np.mean(history.losses[6 * epoch : 6 * epoch + 6])
        assert columns["loss"][epoch] == pytest.approx(mean)
    assert columns["validation_accuracy"] == history.validation_accuracies
    history.epoch_steps += [2]  # as if interrupted
    history.epoch_seconds += [1.0]
    history.losses += [1.0, 2.0]
    columns = history.by_epoch()
    assert columns["loss"][3] == 1.5
    assert np.isnan(columns["validation_accuracy"][3])
    assert History().by_epoch() == {}


def test_to_frame(data: Batch) -> None:
    pytest.importorskip("pandas")
    history = fit(small(), data.x, data.t, epochs=2, validation=(data.x, data.t), progress=False)
    frame = history.to_frame()
    assert frame.index.name == "epoch"
    assert list(frame.index) == [1, 2]
    assert list(frame["loss"]) == history.by_epoch()["loss"]
    assert History().to_frame().empty


def test_plot(data: Batch) -> None:
    history = fit(small(), data.x, data.t, epochs=2, batch_size=10, validation=(data.x, data.t),
                  progress=False)  # fmt: skip
    left, right = history.plot(title="a title").axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), history.losses)
    np.testing.assert_array_equal(right.lines[-1].get_ydata(), history.validation_accuracies)
    fit(small(), data.x, data.t, progress=False).plot()
    with pytest.raises(ValueError, match="no steps"):
        History().plot()
