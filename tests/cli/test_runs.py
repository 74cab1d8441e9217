"""Runs of ``fastnn train``: a directory each, any part of a network, and going on with a run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import CorruptFileError
from fastnn.cli.run_directory import read_settings, write_curves, write_history, write_settings
from tests.helpers.command import run

QUICK = ["train", "--epochs", "2", "--batch-size", "8", "--hidden", "6", "--no-progress"]
NUMPY = [*QUICK, "--backend", "numpy", "--seed", "1"]


def losses(place: Path) -> list[float]:
    found: list[float] = json.loads((place / "history.json").read_text("utf-8"))["losses"]
    return found


def test_no_run_overwrites_another(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("fastnn-run", "fastnn-run-2", "fastnn-run-3"):
        assert f"curves.png to {name}\n" in run(*NUMPY, "--data", directory).stdout
    assert losses(tmp_path / "fastnn-run") == losses(tmp_path / "fastnn-run-3")


def test_a_directory_that_is_named_has_nothing_of_an_earlier_run(
    directory: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(*NUMPY, "--data", directory, "--out", out)
    assert (out / "curves.png").exists()
    (out / "notes.txt").write_text("mine", "utf-8")
    run(*NUMPY, "--data", directory, "--out", out, "--epochs", "0")
    assert losses(out) == []
    assert not (out / "curves.png").exists()
    assert (out / "notes.txt").read_text("utf-8") == "mine"


def test_every_part_of_a_network(directory: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lines = run(
        *NUMPY, "--data", directory, "--out", out, "--hidden", "7,5", "--activation", "gelu",
        "--init", "xavier", "--dropout", "0.25", "--batch-norm", "--optimizer", "AdamW",
        "--weight-decay", "0.02",
    ).stdout.splitlines()  # fmt: skip
    assert "12-7-5-3 on numpy" in lines[0]
    assert "weight_decay=0.02" in lines[0]
    network = fastnn.Sequential.load(out / "network.safetensors")
    kinds = [type(layer).__name__ for layer in network.layers.values()]
    assert kinds == [*["Affine", "BatchNormalization", "Gelu", "Dropout"] * 2, "Affine"]
    assert network.layers["Dropout1"].ratio == 0.25
    with fastnn.use_backend("numpy"):
        same = fastnn.MultiLayerNet(
            12, [7, 5], 3, "gelu", "xavier", use_dropout=True, dropout_ratio=0.25,
            use_batchnorm=True, seed=1,
        )  # fmt: skip
        data = fastnn.datasets.load_idx(directory)[0]
        history = fastnn.fit(
            same, *data, epochs=2, batch_size=8, seed=1, progress=False,
            optimizer=fastnn.AdamW(weight_decay=0.02),
        )  # fmt: skip
    assert history.losses == losses(out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--activation", "rleu"], "activation must be one of 'relu'.*'rleu'"),
        (["--init", "hee"], "weight_init_std"),
        (["--init", "-1"], "weight_init_std"),
        (["--dropout", "1"], "dropout_ratio"),
        (["--optimizer", "Adamm"], "Adam"),
    ],
)
def test_what_there_is_not_leaves_no_directory(
    directory: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        run(*NUMPY, "--data", directory, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("parts", [[], ["--dropout", "0.3", "--batch-norm", "--optimizer", "Adam"]])
def test_a_run_that_is_gone_on_with_has_the_bits_of_one_that_was_not_stopped(
    directory: Path, tmp_path: Path, parts: list[str]
) -> None:
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    data = ["--data", directory, *parts]
    run(*NUMPY, *data, "--out", whole, "--epochs", "5")
    run(*NUMPY, *data, "--out", parted, "--epochs", "2")
    for epochs in ("4", "5"):
        run("train", "--resume", parted, "--epochs", epochs, "--backend", "numpy")
    assert losses(parted) == losses(whole)
    one, other = (fastnn.Sequential.load(each / "network.safetensors") for each in (whole, parted))
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)


def test_a_run_is_gone_on_with_by_its_own_settings(directory: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(
        ValueError, match=r"out holds no run .* no settings\.json and no checkpoint"
    ):
        run("train", "--resume", out)
    run(*NUMPY, "--data", directory, "--out", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ValueError, match=r"leave out --hidden, --lr$"):
        run("train", "--resume", out, "--lr", "0.1", "--hidden", "6")
    (out / "settings.json").write_text('{"epochs": 3}', "utf-8")
    with pytest.raises(ValueError, match=r"settings\.json is damaged: it has the names"):
        run("train", "--resume", out)
    stored = json.loads(before["settings.json"])
    for damaged, said in [
        (None, "it holds None"),
        ({**stored, "hidden": 50}, "hidden is 50, expected str"),
        ({**stored, "lr": "x"}, r"lr is 'x', expected float \| None"),
    ]:
        (out / "settings.json").write_text(json.dumps(damaged), "utf-8")
        with pytest.raises(ValueError, match=rf"settings\.json is damaged: {said}"):
            read_settings(out)
    (out / "settings.json").write_text(json.dumps({**stored, "lr": 1}), "utf-8")
    assert read_settings(out).lr == 1
    (out / "settings.json").write_bytes(before["settings.json"])
    (out / "checkpoint.safetensors").write_bytes(before["checkpoint.safetensors"][:-9])
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors"):
        run("train", "--resume", out, "--epochs", "9")
    (out / "checkpoint.safetensors").write_bytes(before["checkpoint.safetensors"])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert "after 16 steps" in run("train", "--resume", out).stdout


def test_a_run_is_gone_on_with_on_its_own_backend(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(*NUMPY, "--data", directory, "--out", out)
    monkeypatch.setenv("FASTNN_BACKEND", "numba")
    lines = run("train", "--resume", out, "--epochs", "3").stdout.splitlines()
    assert "on numpy (" in lines[0]
    assert json.loads((out / "settings.json").read_text("utf-8"))["backend"] == "numpy"


@pytest.mark.parametrize("epochs", ["1", "2"])
def test_no_epochs_to_go_on_with(directory: Path, tmp_path: Path, epochs: str) -> None:
    out = tmp_path / "out"
    run(*NUMPY, "--data", directory, "--out", out)
    before = losses(out)
    told = run("train", "--resume", out, "--epochs", epochs, "--no-progress").stdout
    assert f"nothing was trained: --epochs counts those that {out} has, which are 2: --epo" in told
    assert losses(out) == before
    told = run("train", "--resume", out, "--epochs", "3", "--no-progress").stdout
    assert "nothing was trained" not in told
    assert len(losses(out)) == len(before) * 3 // 2


def test_a_run_that_does_not_begin_leaves_no_directory(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for more in ([], ["--out", "other"], ["--out", "mine"]):
        with pytest.raises(ValueError, match="batch_size is 1000"):
            run(*NUMPY, "--data", directory, "--batch-size", "1000", *more)
    assert sorted(each.name for each in tmp_path.iterdir()) == [directory.name, "mine"]


def test_files_in_the_place_of_directories(directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "network.safetensors"
    file.write_text("mine", "utf-8")
    with pytest.raises(NotADirectoryError, match=r"is a file: --out takes a directory"):
        run(*NUMPY, "--data", directory, "--out", file)
    place = re.escape(str(tmp_path))
    with pytest.raises(NotADirectoryError, match=rf"--resume takes the .*such as {place}$"):
        run("train", "--resume", file)
    assert file.read_text("utf-8") == "mine"


def test_files_of_a_run_are_replaced_whole(directory: Path, tmp_path: Path) -> None:
    """Who reads one has that of the run before until the next one is complete."""
    out = tmp_path / "out"
    run(*NUMPY, "--data", directory, "--out", out)
    settings = read_settings(out)
    names = ("settings.json", "history.json", "curves.png")
    before = {name: (out / name).read_bytes() for name in names}
    for name in names:
        (tmp_path / name).hardlink_to(out / name)
    write_settings(replace(settings, epochs=7), out)
    write_history({"losses": [1.5]}, out)
    write_curves(fastnn.History(losses=[2.0, 1.0]).plot(), out)
    for name in names:
        assert (out / name).read_bytes() != before[name]
        assert (tmp_path / name).read_bytes() == before[name]
    assert losses(out) == [1.5]
    assert read_settings(out).epochs == 7


def test_another_file_of_a_run_in_the_place_of_the_network(directory: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(*NUMPY, "--data", directory, "--out", out)
    images = directory / "t10k-images-idx3-ubyte"
    there = re.escape(f"; the network of this run is {out / 'network.safetensors'}")
    for name, words in (
        ("checkpoint.safetensors", r"holds a checkpoint of a training, and not a network"),
        ("settings.json", "is not a whole safetensors file"),
        ("history.json", "is not a whole safetensors file"),
        ("curves.png", "is not a whole safetensors file"),
    ):
        with pytest.raises(CorruptFileError, match=rf"{re.escape(name)} {words}.*{there}$"):
            run("predict", out / name, images)
        with pytest.raises(CorruptFileError, match=rf"{re.escape(name)} {words}.*{there}$"):
            run("report", out / name, "--data", directory, "--out", tmp_path / "page.html")
    (out / "network.safetensors").unlink()
    with pytest.raises(CorruptFileError, match=r"; fastnn train writes a network to network\.saf"):
        run("predict", out / "history.json", images)
    (out / "network.safetensors").write_bytes(b"damaged")
    with pytest.raises(CorruptFileError) as raised:
        run("predict", out / "network.safetensors", images)
    assert "of this run" not in str(raised.value)
    assert "fastnn train" not in str(raised.value)
