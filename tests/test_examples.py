"""Both scripts of the book, as they stand in examples/, on every backend."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.backends import Backend

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_gradient_check(
    backend: Backend, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend.name == "strict":
        pytest.skip("the book's script calls NumPy on the arrays, which array_api_strict refuses")
    # One network, with no activation so close to the kink of ReLU that the book's step crosses it.
    generator = np.random.default_rng(1)
    monkeypatch.setattr(np.random, "default_rng", lambda seed=None: generator)
    seen = runpy.run_path(str(EXAMPLES / "gradient_check.py"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["W1", "b1", "W2", "b2"]
    assert all(0 < float(line.split(":")[1]) < 1e-6 for line in lines)
    assert seen["network"].backend is backend
    assert all(backend.owns(array) for array in seen["grad_backprop"].values())
    assert seen["grad_numerical"]["W1"].shape == (784, 50)


def run_training(script: str, *, steps: int) -> None:
    source = (EXAMPLES / script).read_text("utf-8")
    assert source.count("iters_num = 10000\n") == 1
    shorter = source.replace("iters_num = 10000\n", f"iters_num = {steps}\n")
    exec(compile(shorter, script, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("name", ["numba", pytest.param("numpy", marks=pytest.mark.exhaustive)])
def test_training_ends_near_97_percent(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.random.seed(0)  # noqa: NPY002  (what the script draws from)
    with fastnn.use_backend(name):
        run_training("train.py", steps=10_000)
    accuracies = [
        [float(part) for part in line.split()] for line in capsys.readouterr().out.split("\n")[:-1]
    ]
    assert len(accuracies) == 17
    train, test = np.transpose(accuracies)
    assert train[0] < 0.3
    assert np.all(train[1:] > 0.88)
    assert train[-1] > 0.97
    assert 0.96 < test[-1] < 0.98


def test_training_on_every_backend(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    if backend.name == "strict":
        pytest.skip("the book's script multiplies arrays by Python floats of another kind")
    np.random.seed(0)  # noqa: NPY002  (what the script draws from)
    run_training("train.py", steps=3)
    first = capsys.readouterr().out.split()
    assert len(first) == 2
    assert all(0.05 < float(accuracy) < 0.4 for accuracy in first)
