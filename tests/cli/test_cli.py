"""The command line, as a user types it."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

import fastnn
from fastnn.backends.selection import load_backend
from fastnn.cli import main
from fastnn.datasets import load_idx
from fastnn.datasets.directory import DataSet
from fastnn.datasets.shipped import MNIST_DIRECTORY
from tests.helpers.command import run
from tests.helpers.exhaustive import exhaustive_but

QUICK = ["train", "--epochs", "2", "--batch-size", "8", "--hidden", "6", "--no-progress"]


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
    assert lines[0].endswith("float64, SGD(lr=0.5), 60 images")
    history = json.loads((out / "history.json").read_text("utf-8"))
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


@pytest.mark.parametrize(
    ("arguments", "described"),
    [
        ([], "SGD(lr=0.1)"),
        (["--optimizer", "adam"], "Adam(lr=0.001, beta1=0.9, beta2=0.999)"),
        (["--optimizer", "Momentum", "--lr", "0.2"], "Momentum(lr=0.2, momentum=0.9)"),
    ],
)
def test_train_by_an_optimizer(
    directory: Path, tmp_path: Path, arguments: list[str], described: str
) -> None:
    command = [*QUICK, "--data", directory, "--seed", "1", "--backend", "numpy"]
    lines = run(*command, "--out", tmp_path, *arguments).stdout.splitlines()
    assert described in lines[0]
    losses = json.loads((tmp_path / "history.json").read_text("utf-8"))["losses"]
    with fastnn.use_backend("numpy"):
        network = fastnn.MultiLayerNet(12, [6], 3, weight_init_std=0.01, seed=1)
        history = fastnn.fit(
            network, *load_idx(directory)[0], epochs=2, batch_size=8, seed=1,
            optimizer=eval(described, vars(fastnn)), progress=False,
        )  # fmt: skip
    assert losses == history.losses


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
    told = [line for line in result.stderr.splitlines() if "compil" not in line]
    assert len(told) == 1
    assert told[0].startswith("fastnn: The cupy backend cannot run here: ")
    assert "Falling back to the" in told[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "cupi"], "did you mean 'cupy'?"),
        (["--hidden", "5,0"], "positive integers"),
        (["--hidden", "five"], "positive integers"),
        (["--dtype", "float16"], "choose 'float32' or 'float64'"),
        (["--batch-size", "61"], "61, but there are 60 samples"),
        (["--batch-size", "0"], "batch-size"),
        (["--optimizer", "adams"], "one of SGD, Momentum"),
        (["--optimizer", "adams"], "did you mean 'adam'?"),
        (["--optimizer", "adam", "--lr", "inf"], "lr must be finite"),
        (["--lr", "nan"], "lr"),  # the words are of typer, or of fastnn with an older one
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "{network}", "--data", "{data}", "--out", "{here}/nowhere/page.html"],
         "the page was not written: there is no directory {here}/nowhere"),
        (["report", "{network}", "--data", "{data}", "--out", "{here}"],
         "path is '{here}', which is"),
        (["report", "{here}/none", "--data", "{data}"], "there is no file {here}/none"),
        (["train", "--data", "{data}", "--epochs", "1", "--out", "{network}/a/b"],
         "Not a directory"),
    ],
)  # fmt: skip
def test_errors_of_files_are_in_words(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str,
) -> None:  # fmt: skip
    if sys.platform == "win32" and "a/b" in arguments[-1]:
        pytest.skip("Windows says that with other words")
    names = {"here": tmp_path, "data": directory, "network": tmp_path / "network"}
    fastnn.TwoLayerNet(12, 6, 3, seed=0).save(names["network"])
    command = [str(Path(text.format(**names))) if "{" in text else text for text in arguments]
    monkeypatch.setattr(sys, "argv", ["fastnn", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"fastnn: {words}".format(**{n: str(p) for n, p in names.items()}))


def test_check() -> None:
    result = run("check", "--backend", "numpy", "--hidden", "4", "--samples", 2)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["numpy", "float32", "numerical", "gradient", "numpy", "float64"]
    assert [line.split()[0] for line in lines[1:7]] == [
        "Affine1", "Activation_function1", "Affine2", "SoftmaxWithLoss", "network", "training",
    ]  # fmt: skip
    assert max(map(len, lines)) <= 80
    assert {line.strip() for line in lines} >= {
        "network with SigmoidWithLoss", "step with MeanSquaredError", "step with PoissonWithLoss",
    }  # fmt: skip
    compared = len(json.loads(run("check", "--backend", "numpy", "--json").stdout)["comparisons"])
    assert lines[-1] == f"All {compared} comparisons agree within their bounds."


def test_check_as_json() -> None:
    arguments = ("--backend", "numpy", "--hidden", "3", "--samples", 1, "--json")
    report = json.loads(run("check", *arguments).stdout)
    assert report["passed"] is True
    assert {row["backend"] for row in report["comparisons"]} == {"numpy"}
    assert {row["dtype"] for row in report["comparisons"]} == {"float32", "float64"}


@pytest.mark.exhaustive
def test_check_is_of_every_backend() -> None:
    report = json.loads(run("check", "--hidden", "3", "--samples", 1, "--json").stdout)
    usable = {name for name, info in fastnn.available_backends().items() if info.usable}
    assert {row["backend"] for row in report["comparisons"]} == usable


def test_check_fails_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load_backend("numpy")
    right = backend.affine_backward

    def wrong(*arguments: Any, **options: Any) -> Any:
        dx, dW, db = right(*arguments, **options)
        return dx, dW * 1.001, db

    monkeypatch.setattr(backend, "affine_backward", wrong)
    result = run("check", "--backend", "numpy", "--hidden", "4", status=1)
    marked = [line for line in result.stdout.splitlines() if line.endswith(" WRONG")]
    assert marked
    assert all(" > " in line for line in marked)
    assert max(map(len, marked)) <= 80
    assert "DO NOT AGREE" in result.stdout


def test_info() -> None:
    out = run("info").stdout
    described = json.loads(run("info", "--json").stdout)
    assert described["fastnn"] == fastnn.__version__
    assert described["threads"] == fastnn.get_num_threads()
    assert list(described["backends"]) == ["cupy", "numba", "numpy"]
    assert described["backends"]["numpy"]["version"] == np.__version__
    assert described["backends"][described["active"]]["usable"]
    assert sum(line.startswith("*") for line in out.splitlines()[:-1]) == 1
    for info in described["backends"].values():
        assert info["usable"] or info["reason"] in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80


def test_train_for_a_machine(directory: Path, tmp_path: Path) -> None:
    result = run(*QUICK, "--data", directory, "--out", tmp_path, "--json")
    summary = json.loads(result.stdout)
    assert summary["steps"] == 16
    assert summary["epochs"] == 2
    network = fastnn.TwoLayerNet.load(tmp_path / "network.safetensors")
    assert summary["test_accuracy"] == network.accuracy(*load_idx(directory)[1])
    assert all(Path(name).is_file() for name in summary["files"])
    assert "epoch 2/2" in result.stderr


def test_train_says_that_it_diverged(directory: Path, tmp_path: Path) -> None:
    out = run(*QUICK, "--data", directory, "--out", tmp_path, "--lr", "1e38", "--seed", "0").stdout
    assert "the network has diverged; try a smaller --lr" in out
    history = json.loads((tmp_path / "history.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert history["losses"][-1] is None


def test_train_uses_all_samples_where_they_are_few(directory: Path, tmp_path: Path) -> None:
    quick = [word for word in QUICK if word not in ("--batch-size", "8")]
    result = run(*quick, "--data", directory, "--out", tmp_path, "--json")
    assert json.loads(result.stdout)["steps"] == 2


def test_train_warns_in_a_line(directory: Path, tmp_path: Path) -> None:
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(content[:16] + bytes(byte > 128 for byte in content[16:]))
    result = run(*QUICK, "--data", directory, "--out", tmp_path)
    lines = [line for line in result.stderr.splitlines() if "inputs x lie between" in line]
    assert len(lines) == 1
    assert lines[0].startswith("fastnn: inputs x lie between 0.003922 and 0.003922, typically")


PROGRESS = ("--progress", "--no-progress")
REDIRECTIONS = ("2>&-", ">&-", "2>&- >&-", "2>/dev/full", ">/dev/full")
SOME = [
    ("--progress", "2>/dev/full"),
    ("--progress", "2>&- >&-"),
    ("--no-progress", ">/dev/full"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="no such shell there")
@pytest.mark.parametrize(
    ("progress", "redirection"), exhaustive_but(SOME, itertools.product(PROGRESS, REDIRECTIONS))
)
def test_train_without_standard_output_or_error(
    directory: Path, tmp_path: Path, progress: str, redirection: str
) -> None:
    if "full" in redirection and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    program = "from fastnn.cli import main; main()"
    words = [sys.executable, "-c", program, *QUICK[:-1], progress, "--data", str(directory)]
    command = shlex.join([*words, "--out", str(tmp_path), "--backend", "numpy"])
    done = subprocess.run(
        ["sh", "-c", f"{command} {redirection}"], capture_output=True, check=False
    )
    assert done.returncode == 0, done
    history = json.loads((tmp_path / "history.json").read_text("utf-8"))
    assert len(history["losses"]) == 16
    assert (tmp_path / "network.safetensors").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no such shell there")
def test_train_into_a_pipe_that_nobody_reads(directory: Path, tmp_path: Path) -> None:
    program = "from fastnn.cli import main; main()"
    words = [sys.executable, "-c", program, *QUICK, "--epochs", "30", "--data", str(directory)]
    command = shlex.join([*words, "--out", str(tmp_path), "--backend", "numpy"])
    done = subprocess.run(
        ["sh", "-c", f"({command}; echo status $? >&2) | head -n 1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.endswith("status 0\n")
    assert len(json.loads((tmp_path / "history.json").read_text("utf-8"))["losses"]) == 240


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_in_train(directory: Path, tmp_path: Path, presses: int) -> None:
    program = """
import os, signal, sys, time
import fastnn.cli
command = sys.modules["fastnn.cli.train"]
signal.signal(signal.SIGINT, signal.default_int_handler)
class Report(command._Report):
    def __call__(self, network, history):
        super().__call__(network, history)
        for _ in range(int(os.environ["PRESSES"]) if history.epochs == 3 else 0):
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.01)
command._Report = Report
from fastnn.cli import main
main()
"""
    arguments = [*QUICK, "--epochs", "999999", "--backend", "numpy"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "--data", str(directory), "--out",
         str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PRESSES": str(presses)},
    )  # fmt: skip
    assert done.returncode == 130, done
    if presses == 1:
        assert "interrupted; this is what was trained so far" in done.stdout
        assert json.loads((tmp_path / "history.json").read_text("utf-8"))["epochs"] == 3
    else:
        last = f"interrupted; fastnn train --resume {tmp_path} goes on after the last whole epoch"
        assert done.stdout.splitlines()[-1] == last
        assert not (tmp_path / "network.safetensors").exists()
        report = json.loads(run("train", "--resume", tmp_path, "--epochs", "4", "--json").stdout)
        assert report["epochs"] == 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, mnist: DataSet) -> Path:
    """A network that knows digits."""
    (x, t), _ = mnist
    with fastnn.use_backend("numpy"):
        network = fastnn.TwoLayerNet(784, 20, 10, seed=0)
    fastnn.fit(network, x[:20000], t[:20000], epochs=2, seed=0, progress=False)
    path = tmp_path_factory.mktemp("trained") / "network.safetensors"
    network.save(path)
    return path


def test_predict_an_idx_file(trained: Path, mnist: DataSet) -> None:
    images = MNIST_DIRECTORY / "t10k-images-idx3-ubyte"
    rows = json.loads(run("predict", trained, images, "--json").stdout)
    network = fastnn.TwoLayerNet.load(trained)
    x, t = mnist[1]
    accuracy = np.mean(np.array([row["class"] for row in rows]) == t)
    assert accuracy == pytest.approx(network.accuracy(x, t), abs=2e-4)
    assert accuracy > 0.8
    y = fastnn.to_numpy(fastnn.softmax(network.predict(x[:50])))
    np.testing.assert_allclose([r["probability"] for r in rows[:50]], y.max(axis=1), rtol=1e-5)
    line = run("predict", trained, images).stdout.splitlines()[9999].split()
    assert line == ["9999", str(rows[9999]["class"]), f"{rows[9999]['probability']:.4f}"]


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("name", ["digit.png", "digit.bmp"])
def test_predict_a_picture(
    trained: Path, tmp_path: Path, mnist: DataSet, inverted: bool, name: str
) -> None:
    x, t = mnist[1]
    pixels = np.round(x[0] * 255).astype("uint8").reshape(28, 28)
    pixels = np.kron(255 - pixels if inverted else pixels, np.ones((3, 3), "uint8"))
    Image.fromarray(pixels).convert("RGB").save(tmp_path / name)
    (row,) = json.loads(run("predict", trained, tmp_path / name, "--json").stdout)
    network = fastnn.TwoLayerNet.load(trained)
    y = fastnn.to_numpy(fastnn.softmax(network.predict(x[0])))
    assert row["class"] == y.argmax() == t[0]
    assert row["probability"] == pytest.approx(float(y.max()), rel=1e-3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "neither an IDX file nor a picture"),
        (b"", "neither an IDX file nor a picture"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 2]), "expected images"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2]), "2 pixels.* takes 784"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 9]), "bytes of lengths"),
    ],
)
def test_predict_refuses(trained: Path, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        run("predict", trained, tmp_path / "file")


def test_predict_by_a_network_that_has_diverged(tmp_path: Path) -> None:
    network = fastnn.TwoLayerNet(784, 5, 10, seed=0)
    network.params["b2"][3] = np.nan
    network.save(tmp_path / "network")
    with pytest.raises(ValueError, match=r"network gives no probabilities but nan: .* diverged"):
        run("predict", tmp_path / "network", MNIST_DIRECTORY / "t10k-images-idx3-ubyte")


def test_predict_by_a_network_of_no_size(tmp_path: Path) -> None:
    fastnn.Sequential([fastnn.Relu()]).save(tmp_path / "network")
    with pytest.raises(ValueError, match="holds no Affine layer"):
        run("predict", tmp_path / "network", MNIST_DIRECTORY / "t10k-images-idx3-ubyte")


def test_the_command_is_installed(tmp_path: Path) -> None:
    command = shutil.which("fastnn", path=str(Path(sys.executable).parent))
    assert command is not None
    environment = {**os.environ, "FASTNN_BACKEND": "numpy"}
    done = subprocess.run(
        [command, "--version"], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == f"fastnn {fastnn.__version__}\n"
    done = subprocess.run([command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert all(name in done.stdout + done.stderr for name in ("train", "check", "info", "predict"))
