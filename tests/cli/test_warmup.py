"""``fastnn warmup``: what it compiles is what a training of these options needs."""

from __future__ import annotations

import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import fastnn
from fastnn.backends import selection
from fastnn.cli import app
from fastnn.datasets.directory import DataSet
from tests.helpers.exhaustive import exhaustive_but
from tests.helpers.problems import CPU_BACKEND, Batch

SMALL = ["--hidden", "6", "--features", "12", "--outputs", "4", "--batch-size", "10"]


def run(*arguments: str, status: int = 0) -> str:
    before = selection._active.set(selection._active.get(None))  # type: ignore[arg-type]
    try:
        result = CliRunner().invoke(app, ["warmup", *SMALL, *arguments])
    finally:
        selection._active.reset(before)
    if result.exit_code != status and result.exception is not None:
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


@pytest.mark.skipif(CPU_BACKEND != "numba", reason="Numba is not installed")
@pytest.mark.parametrize(
    "kind",
    exhaustive_but(["as it is"], ["as it is", "dense", "bytes", "deep"]),
)
def test_nothing_is_left_to_compile(kind: str) -> None:
    options: dict[str, list[str]] = {
        "as it is": ["--zeros", "0.5"], "dense": ["--zeros", "0"],
        "bytes": ["--zeros", "0.8", "--bytes"],
        "deep": ["--zeros", "0.5", "--hidden", "6,5", "--batch-norm", "--dropout", "0.3",
                 "--optimizer", "Adam", "--clip-norm", "1", "--weight-decay", "0.1"],
    }  # fmt: skip
    out = run("--backend", "numba", *options[kind])
    assert "of inputs 0: ready" in out
    assert "kernels are in " in out
    with fastnn.use_backend("numba"):
        backend, data = fastnn.get_backend(), Batch(53, 12, 4)
        before = backend.seconds_compiling()
        x: Any = data.x
        how: dict[str, Any] = {"optimizer": fastnn.SGD(0.1)}
        made: dict[str, Any] = {"hidden_size_list": [6]}
        if kind == "dense":
            x = x + 1
        elif kind == "bytes":
            x = np.where(np.random.default_rng(0).random(x.shape) < 0.8, 0, 255 * x).astype("uint8")
            how["scale"] = 1 / 255
        elif kind == "deep":
            made = {"hidden_size_list": [6, 5], "use_batchnorm": True, "use_dropout": True}
            how["optimizer"] = fastnn.Adam(clip_norm=2.0, weight_decay=0.01)
        network = fastnn.MultiLayerNet(12, output_size=4, **made)
        fastnn.fit(network, x, data.t, epochs=2, batch_size=10, validation=(x, data.t), **how)
        network.loss(x, data.t)
        network.gradient(x[:7], data.t[:7])
        network.accuracy(x, data.t)
        network.predict(x)
        assert backend.seconds_compiling() == before


@pytest.mark.skipif(CPU_BACKEND != "numba", reason="Numba is not installed")
@pytest.mark.skipif(sys.platform == "win32", reason="all may read what a user of Windows makes")
@pytest.mark.parametrize(
    ("mode", "told", "said"),
    [(0o755, True, None), (0o755, False, "do not look in"), (0o700, True, "cannot get to")],
)
def test_machine_code_for_all_users(
    mode: int, told: bool, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numba
    from fastnn.kernels.cpu.machine_code import places

    base = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest makes directories for its user alone
    try:
        base.chmod(mode)
        directory = base / "kernels"
        directory.mkdir(mode=0o700)
        kernel = directory / "kernel.nbc"
        kernel.touch(mode=0o600)
        monkeypatch.setattr(places, "cache_directory", lambda: directory)
        monkeypatch.setattr(numba.config, "CACHE_DIR", str(base) if told else "")
        out = run("--backend", "numba", "--shared", "--zeros", "0.5")
        assert f"1 kernels are in {directory}" in out
        assert stat.S_IMODE(directory.stat().st_mode) == 0o755
        assert stat.S_IMODE(kernel.stat().st_mode) == 0o644
        assert ("other users" in out) == (said is not None)
        assert said is None or f"{said} {directory}: set NUMBA_CACHE_DIR" in out
    finally:
        shutil.rmtree(base)


def test_every_combination_is_made() -> None:
    out = run(
        "--backend", "numpy", "--optimizer", "SGD", "--optimizer", "Adam", "--activation", "tanh",
        "--activation", "relu", "--loss", "MeanSquaredError", "--loss", "SigmoidWithLoss",
    )  # fmt: skip
    lines = out.splitlines()
    assert len(lines) == 8 + 1
    assert lines[0] == "12-6-4, tanh, MeanSquaredError, SGD, float32, 0.8 of inputs 0: ready"
    assert lines[-1].startswith("compiling took 0.0 s of ")


def test_other_options_are_refused() -> None:
    assert "only Numba's machine code is shared" in run(
        "--backend", "numpy", "--shared", status=2
    ).replace("\n│ ", " ")
    assert "expected one of" in run("--backend", "numpy", "--activation", "rely", status=2)
    with pytest.raises(ValueError, match="did you mean"):
        run("--backend", "numpy", "--optimizer", "SDG", status=2)


def test_the_books_network_is_the_default(mnist: DataSet) -> None:
    share = float(np.mean(mnist[0][0] == 0))
    assert round(share, 1) == 0.8
