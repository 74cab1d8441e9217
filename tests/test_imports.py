"""``import fastnn`` is cheap, and its kernels are where they are said to be."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import fastnn

HEAVY = [
    "numba", "llvmlite", "scipy", "cupy", "matplotlib", "typer", "rich", "tqdm", "safetensors",
    "array_api_compat", "onnx",
]  # fmt: skip
GRADIENTS = """
import fastnn, numpy as np
fastnn.set_backend('numpy')
network, x, t = fastnn.TwoLayerNet(3, 2, 2), np.ones((2, 3)), np.array([0, 1])
network.gradient(x, t), network.numerical_gradient(x, t)
"""


def loaded_after(statement: str) -> set[str]:
    program = f"import json, sys\n{statement}\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "import fastnn",
        "import fastnn.datasets",
        GRADIENTS,
    ],
)
def test_import_loads_nothing_heavy(statement: str) -> None:
    assert loaded_after(statement) & set(HEAVY) == set()


def test_numba_is_imported_when_it_is_selected() -> None:
    if not fastnn.available_backends()["numba"].usable:
        pytest.skip("Numba cannot run here")
    loaded = loaded_after("import fastnn; fastnn.set_backend('numba', strict=True)")
    assert {"numba", "fastnn.kernels.cpu"} <= loaded


def test_data_sets_are_there_without_another_import() -> None:
    assert "fastnn.datasets" not in loaded_after("import fastnn")
    assert "fastnn.datasets" in loaded_after("import fastnn; fastnn.datasets.load_mnist")
    with pytest.raises(AttributeError, match="module 'fastnn' has no attribute 'dataset'"):
        fastnn.dataset  # noqa: B018


def test_dir_shows_what_a_script_uses() -> None:
    assert set(dir(fastnn)) == {*fastnn.__all__, "__version__", "datasets"}


def test_the_command_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fastnn", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"fastnn {fastnn.__version__}\n"


def test_all_names_exist() -> None:
    assert sorted(fastnn.__all__) == sorted(set(fastnn.__all__))
    for name in fastnn.__all__:
        assert getattr(fastnn, name).__doc__, name
