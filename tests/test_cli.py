"""The command line, as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

import fastnn
from fastnn.backends import selection
from fastnn.cli import app, main
from fastnn.datasets import load_idx

QUICK = ["train", "--epochs", "2", "--batch-size", "8", "--hidden", "6", "--no-progress"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small data set in MNIST's format: 4 x 3 pixels, three classes that differ in a row."""
    rng = np.random.default_rng(0)
    place = tmp_path / "data"
    place.mkdir()
    for half, samples in (("train", 60), ("t10k", 20)):
        t = rng.integers(0, 3, samples).astype("uint8")
        x = rng.integers(0, 60, (samples, 4, 3)).astype("uint8")
        x[np.arange(samples), t] += 190
        for kind, array in (("images-idx3", x), ("labels-idx1", t)):
            lengths = np.array(array.shape, ">u4").tobytes()
            header = bytes([0, 0, 8, array.ndim]) + lengths
            (place / f"{half}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return place


def run(*arguments: object, status: int = 0) -> Any:
    before = selection._active.set(selection._active.get(None))  # type: ignore[arg-type]
    try:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    finally:
        selection._active.reset(before)
    if result.exit_code != status and result.exception is not None:
        raise result.exception
    assert result.exit_code == status, result.output
    return result


@pytest.mark.parametrize("name", ["numpy", "numba", pytest.param("cupy", marks=pytest.mark.gpu)])
def test_train(directory: Path, tmp_path: Path, name: str) -> None:
    if not fastnn.available_backends()[name].usable:
        pytest.skip(f"{name} cannot run here")
    out = tmp_path / "a" / "run"
    lines = run(
        *QUICK, "--data", directory, "--out", out, "--backend", name, "--seed", 3, "--lr", 0.5,
        "--epochs", 30, "--dtype", "float64",
    ).stdout.splitlines()  # fmt: skip
    assert lines[0].startswith(f"12-6-3 on {name} (")
    assert lines[0].endswith("float64, 60 images")
    history = json.loads((out / "history.json").read_text())
    assert len(history["losses"]) == 30 * 8
    assert history["test_accuracy"] == history["validation_accuracies"][-1] > 0.9
    last = lines[30].split()
    assert last[:2] == ["epoch", "30/30"]
    assert float(last[3]) == pytest.approx(np.mean(history["losses"][-8:]), abs=6e-5)
    assert float(last[5]) == pytest.approx(history["train_accuracies"][-1], abs=6e-5)
    assert float(last[7]) == pytest.approx(history["validation_accuracies"][-1], abs=6e-5)
    assert f"test accuracy {history['test_accuracy']:.4f} after 240 steps" in lines[31]
    network = fastnn.TwoLayerNet.load(out / "network.safetensors")
    assert network.dtype == "float64"
    assert network.accuracy(*load_idx(directory)[1]) == history["test_accuracy"]
    picture = imread(out / "curves.png")
    assert picture.shape[0] > 300
    assert picture.std() > 0.05


def test_train_is_repeatable_and_deep(directory: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(*QUICK, "--data", directory, "--out", tmp_path / name, "--hidden", "7,5", "--seed", 1)
    one, two = (tmp_path / name / "network.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert list(fastnn.Sequential.load(one).params) == ["W1", "b1", "W2", "b2", "W3", "b3"]


def test_train_with_a_progress_bar(directory: Path, tmp_path: Path) -> None:
    result = run(*QUICK[:-1], "--progress", "--data", directory, "--out", tmp_path)
    assert "16/16" in result.stderr
    assert "epoch 2/2" in result.stdout


def test_train_for_no_epochs(directory: Path, tmp_path: Path) -> None:
    result = run(*QUICK, "--epochs", 0, "--data", directory, "--out", tmp_path)
    assert "after 0 steps" in result.stdout
    assert sorted(p.name for p in tmp_path.glob("*.*")) == ["history.json", "network.safetensors"]


def test_a_fallback_is_one_line(directory: Path, tmp_path: Path) -> None:
    if fastnn.available_backends()["cupy"].usable:
        pytest.skip("CuPy can run here")
    result = run(*QUICK, "--data", directory, "--out", tmp_path, "--backend", "cupy")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("fastnn: The cupy backend cannot run here: ")
    assert "Falling back to the" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "cupi"], "did you mean 'cupy'?"),
        (["--hidden", "5,0"], "positive integers"),
        (["--hidden", "five"], "positive integers"),
        (["--dtype", "float16"], "choose 'float32' or 'float64'"),
        (["--batch-size", "61"], "61, but there are 60 samples"),
        (["--batch-size", "0"], "batch-size"),
        (["--lr", "nan"], "greater than or equal to 0"),
        (["--lr", "inf"], "lr must be finite"),
        (["--data", "nowhere"], "expected a directory of IDX files"),
        (["--epochs", "x"], "epochs"),
    ],
)
def test_what_goes_wrong_is_one_line_and_status_2(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str,
) -> None:  # fmt: skip
    out = tmp_path / "out"
    command = ["fastnn", *QUICK, "--data", str(directory), "--out", str(out), *arguments]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert words in " ".join(error.replace("│", " ").split())
    assert "Traceback" not in error
    assert not list(out.glob("*"))


def test_check() -> None:
    result = run("check", "--backend", "numpy", "--hidden", "4", "--samples", 2)
    lines = result.stdout.splitlines()
    assert [line.split()[2] for line in lines[1:7]] == [
        "Affine1", "Relu1", "Affine2", "SoftmaxWithLoss", "network", "training",
    ]  # fmt: skip
    assert lines[-1] == "All 72 comparisons agree within their bounds."


def test_check_as_json() -> None:
    report = json.loads(run("check", "--hidden", "3", "--samples", 1, "--json").stdout)
    usable = {name for name, info in fastnn.available_backends().items() if info.usable}
    assert report["passed"] is True
    assert {row["backend"] for row in report["comparisons"]} == usable
    assert {row["dtype"] for row in report["comparisons"]} == {"float32", "float64"}


def test_check_fails_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = selection.load_backend("numpy")
    right = backend.affine_backward

    def wrong(*arguments: Any, **options: Any) -> Any:
        dx, dW, db = right(*arguments, **options)
        return dx, dW * 1.001, db

    monkeypatch.setattr(backend, "affine_backward", wrong)
    result = run("check", "--backend", "numpy", "--hidden", "4", status=1)
    assert "WRONG" in result.stdout
    assert "DO NOT AGREE" in result.stdout


def test_backends() -> None:
    out = run("backends").stdout
    described = json.loads(run("backends", "--json").stdout)
    assert list(described) == ["cupy", "numba", "numpy"]
    assert described["numpy"]["version"] == np.__version__
    assert sum(line.startswith("*") for line in out.splitlines()[:3]) == 1
    for info in described.values():
        assert info["usable"] or info["reason"] in out


def test_the_command_is_installed(tmp_path: Path) -> None:
    command = shutil.which("fastnn", path=str(Path(sys.executable).parent))
    assert command is not None
    environment = {**os.environ, "FASTNN_BACKEND": "numpy"}
    done = subprocess.run(
        [command, "--version"], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == f"fastnn {fastnn.__version__}\n"
    done = subprocess.run([command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert all(name in done.stdout + done.stderr for name in ("train", "check", "backends"))
