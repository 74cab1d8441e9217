"""``fastnn report``: a page about a saved network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.datasets import load_idx
from tests.helpers.command import run


def test_a_page_about_what_train_wrote(directory: Path, tmp_path: Path) -> None:
    run(
        "train", "--epochs", 2, "--hidden", 6, "--no-progress", "--seed", 1,
        "--data", directory, "--out", tmp_path / "run", "--backend", "numpy",
    )  # fmt: skip
    model, page = tmp_path / "run" / "network.safetensors", tmp_path / "page.html"
    told = run("report", model, "--data", directory, "--out", page, "--backend", "numpy").stdout
    accuracy = fastnn.Sequential.load(model).accuracy(*load_idx(directory)[1])
    wrong = round(20 * (1 - accuracy))
    assert f"test accuracy {accuracy:.4f}, {wrong} of 20 images wrong; wrote {page}" in told
    text = page.read_text("utf-8")
    assert "network.safetensors on letters" in text
    assert 'alt="learning curves"' in text
    (tmp_path / "run" / "curves.png").write_bytes(b"no picture")
    run("report", model, "--data", directory, "--out", page, "--backend", "numpy")
    assert 'alt="learning curves"' not in page.read_text("utf-8")


def test_a_network_that_does_not_fit(directory: Path, tmp_path: Path) -> None:
    network = fastnn.TwoLayerNet(12, 6, 3)
    network.lastLayer = fastnn.MeanSquaredError()
    network.save(tmp_path / "network")
    for command in ("report", "predict"):
        more = ["--data", directory] if command == "report" else [directory / "a.png"]
        with pytest.raises(TypeError, match="MeanSquaredError"):
            run(command, tmp_path / "network", *more, "--backend", "numpy")
    for command, more in (("report", ["--data", directory]), ("predict", [directory / "a.png"])):
        with pytest.raises(
            IsADirectoryError, match=r"give the path of a file that network\.save\("
        ):
            run(command, tmp_path, *more, "--backend", "numpy")
        with pytest.raises(FileNotFoundError, match=r"^there is no file .*nosuch: network\.save\("):
            run(command, tmp_path / "nosuch", *more, "--backend", "numpy")
    with pytest.raises(FileNotFoundError):
        run("report", tmp_path / "network", "--data", tmp_path / "none", "--backend", "numpy")
    assert not Path("report.html").exists()


def test_a_network_that_has_diverged(directory: Path, tmp_path: Path) -> None:
    network = fastnn.TwoLayerNet(12, 6, 3)
    network.params["W2"] = np.full((6, 3), np.nan)
    network.save(tmp_path / "network")
    with pytest.raises(ValueError, match=r"no probabilities but nan: .* has diverged"):
        run(
            "report", tmp_path / "network", "--data", directory, "--out", tmp_path / "page.html",
            "--backend", "numpy",
        )  # fmt: skip
    assert not (tmp_path / "page.html").exists()
