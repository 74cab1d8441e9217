"""``fastnn report``: a page about a saved network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import fastnn
from fastnn.backends import selection
from fastnn.cli import app
from fastnn.datasets import load_idx


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small data set in MNIST's format: 4 x 3 pixels, three classes that differ in a row."""
    rng = np.random.default_rng(0)
    place = tmp_path / "letters"
    place.mkdir()
    for half, samples in (("train", 60), ("t10k", 20)):
        t = rng.integers(0, 3, samples).astype("uint8")
        x = rng.integers(0, 60, (samples, 4, 3)).astype("uint8")
        x[np.arange(samples), t] += 190
        for kind, array in (("images-idx3", x), ("labels-idx1", t)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (place / f"{half}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return place


def run(*arguments: object, status: int = 0) -> str:
    before = selection._active.set(selection._active.get(None))  # type: ignore[arg-type]
    try:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    finally:
        selection._active.reset(before)
    if result.exit_code != status and result.exception is not None:
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


def test_a_page_about_what_train_wrote(directory: Path, tmp_path: Path) -> None:
    run(
        "train", "--epochs", 2, "--hidden", 6, "--no-progress", "--seed", 1,
        "--data", directory, "--out", tmp_path / "run", "--backend", "numpy",
    )  # fmt: skip
    model, page = tmp_path / "run" / "network.safetensors", tmp_path / "page.html"
    told = run("report", model, "--data", directory, "--out", page, "--backend", "numpy")
    accuracy = fastnn.Sequential.load(model).accuracy(*load_idx(directory)[1])
    wrong = round(20 * (1 - accuracy))
    assert f"test accuracy {accuracy:.4f}, {wrong} of 20 images wrong; wrote {page}" in told
    text = page.read_text()
    assert "network.safetensors on letters" in text
    assert 'alt="learning curves"' in text
    (tmp_path / "run" / "curves.png").write_bytes(b"no picture")
    run("report", model, "--data", directory, "--out", page, "--backend", "numpy")
    assert 'alt="learning curves"' not in page.read_text()


def test_a_network_that_does_not_fit(directory: Path, tmp_path: Path) -> None:
    network = fastnn.TwoLayerNet(12, 6, 3)
    network.lastLayer = fastnn.MeanSquaredError()
    network.save(tmp_path / "network")
    for command in ("report", "predict"):
        more = ["--data", directory] if command == "report" else [directory / "a.png"]
        with pytest.raises(TypeError, match="MeanSquaredError"):
            run(command, tmp_path / "network", *more, "--backend", "numpy")
    with pytest.raises(FileNotFoundError):
        run("report", tmp_path / "network", "--data", tmp_path / "none", "--backend", "numpy")
    assert not Path("report.html").exists()
