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


def test_all_names_exist() -> None:
    assert sorted(fastnn.__all__) == sorted(set(fastnn.__all__))
    for name in fastnn.__all__:
        assert getattr(fastnn, name).__doc__, name
