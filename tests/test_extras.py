"""What the base install has is enough to train; where an extra is missing the error names it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest

from fastnn.backends.cupy.detection import LEAST_CAPABILITY, LEAST_CUPY
from fastnn.extras import brought_by

ROOT = Path(__file__).parents[1]
BROUGHT = {
    "plot": "matplotlib", "pictures": "PIL", "cli": "typer", "onnx": "onnx", "pandas": "pandas",
    "sklearn": "sklearn", "tensorboard": "tensorboardX",
}  # fmt: skip
"""What is imported only with an extra."""

BASE_ALONE = f"""
import sys
for missing in {[*BROUGHT.values(), "rich", "scipy", "onnxruntime"]}:
    sys.modules[missing] = None
"""
"""A Python without any extra: the base install, so far as imports can tell."""

TRAIN = """
import fastnn, sys
import numpy as np
from fastnn.datasets import load_mnist

(x, t), test = load_mnist()
for backend in (name for name, info in fastnn.available_backends().items() if info.usable):
    fastnn.set_backend(backend)
    network = fastnn.TwoLayerNet(784, 20, 10, seed=0)
    print(network.summary(fastnn.Adam()))
    network._repr_html_()
    history = fastnn.fit(
        network, x[:2000], t[:2000], epochs=2, seed=0, validation=test, progress=True,
        optimizer=fastnn.SGD(lr=0.5),
        callbacks=[fastnn.Checkpoint(sys.argv[1]), fastnn.CSVLogger(sys.argv[1] + ".csv")],
    )
    assert network.accuracy(*test) > 0.5, history
    network.save(sys.argv[1])
    assert fastnn.Sequential.load(sys.argv[1]).accuracy(*test) == network.accuracy(*test)
    assert fastnn.check_gradients(network, x[:3], t[:3]).passed
"""
ERRORS = {
    "plot": [
        "fastnn.History(losses=[1.0]).plot()",
        "fastnn.plot_weights(fastnn.TwoLayerNet(4, 3, 2))",
        "from fastnn.reports.page import write_report",
    ],
    "pictures": ["fastnn.datasets.read_digit('picture.png')"],
    "onnx": ["fastnn.from_onnx('network.onnx')"],
    "pandas": ["fastnn.History().to_frame()"],
    "sklearn": ["import fastnn.sklearn"],
    "tensorboard": ["fastnn.TensorBoard('runs')"],
}


def run_alone(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BASE_ALONE + program, *map(str, arguments)],
        capture_output=True, text=True,
    )  # fmt: skip


def test_the_base_install_trains(tmp_path: Path) -> None:
    done = run_alone(TRAIN, tmp_path / "network.safetensors")
    assert done.returncode == 0, done.stderr
    assert "| Affine1" in done.stdout


@pytest.mark.parametrize(
    ("extra", "statement"), [(name, one) for name, all_ in ERRORS.items() for one in all_]
)
def test_errors_name_the_extra(extra: str, statement: str) -> None:
    done = run_alone(f"import fastnn\n{statement}")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: "), done.stderr
    assert f": pip install 'fastnn-backends[{extra}]'" in last


def test_every_extra_that_users_may_miss_is_tried() -> None:
    assert {*ERRORS, "cli"} == set(BROUGHT)


@pytest.mark.parametrize("missing", ["typer", "matplotlib", "PIL"])
def test_the_command_names_its_extra_before_it_begins(missing: str) -> None:
    """Where another package has brought a part of it, no training fails at its last picture."""
    program = (
        f"import sys; sys.modules[{missing!r}] = None\nfrom fastnn.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--version"], capture_output=True, text=True
    )
    assert done.returncode == 2
    shown = {"PIL": "Pillow"}.get(missing, missing)
    assert done.stderr == f"fastnn: this needs {shown}: pip install 'fastnn-backends[cli]'\n"
    assert done.stdout == ""


def test_what_is_broken_is_told_as_it_is() -> None:
    with (
        pytest.raises(ModuleNotFoundError, match="not_there"),
        brought_by("plot", "matplotlib", "curves need matplotlib"),
    ):
        import not_there  # type: ignore[import-not-found]  # noqa: F401
    with (
        pytest.raises(ImportError, match="no_such_name"),
        brought_by("plot", "pathlib", "curves need pathlib"),
    ):
        from pathlib import no_such_name  # type: ignore[attr-defined]  # noqa: F401


def test_extras_are_what_the_project_declares() -> None:
    """An error may only name an extra that is there; the tests have what the extras bring."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = declared["optional-dependencies"]
    named = {
        extra
        for file in (ROOT / "fastnn").rglob("*.py")
        for extra in re.findall(
            r"fastnn-backends\[([\w-]+)\]|brought_by\(\s*\"([\w-]+)\"", file.read_text("utf-8")
        )
        for extra in extra
        if extra
    }
    assert named - {"extra"} == set(BROUGHT)
    assert named - {"extra"} <= set(extras)
    always = {re.split(r"[<>=\[; ]", one)[0] for one in declared["dependencies"]}
    assert always.isdisjoint({"typer", "rich", "matplotlib", "pillow", *BROUGHT.values()})
    installed = {
        re.split(r"[<>=\[; ]", one)[0]
        for one in requires("fastnn-backends") or ()
        if "extra ==" not in one
    }
    assert installed == always


def test_the_floor_of_cupy_is_the_one_that_is_looked_for() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    for cuda in LEAST_CAPABILITY.keys() | {12}:
        (wheel,) = extras[f"cuda{cuda}x"]
        assert wheel == "cupy-cuda{}x[ctk]>={}.{}".format(cuda, *LEAST_CUPY)
