"""The scripts of the book's chapters 4 to 6 in examples/book, run small; each draws its picture."""

from __future__ import annotations

import contextlib
import functools
import io
import runpy
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

import fastnn
from fastnn.backends import Backend
from tests.helpers.exhaustive import exhaustive_but

BOOK = Path(__file__).parent.parent / "examples" / "book"

SMALL: dict[str, dict[str, Any]] = {
    "ch04_gradient_descent": {},
    "ch04_train_two_layer_net": {"steps": 12, "samples": 500},
    "ch06_optimizers_on_a_valley": {},
    "ch06_optimizers_on_mnist": {"steps": 3},
    "ch06_activations_by_initial_weights": {"samples": 200},
    "ch06_initial_weights_on_mnist": {"epochs": 1, "samples": 400},
    "ch06_batch_normalization": {"epochs": 3, "samples": 200, "scales": 3},
    "ch06_overfitting_dropout": {"epochs": 3, "samples": 200, "tested": 200},
    "ch06_overfitting_weight_decay": {"epochs": 3, "samples": 200, "tested": 200},
    "ch06_hyperparameters": {"trials": 3, "epochs": 1, "samples": 250},
}
"""What makes each script short."""


def run(name: str, picture: Path, **options: Any) -> str:
    """Run a script, and give what it prints."""
    np.random.seed(0)  # noqa: NPY002 - what the scripts draw from
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        runpy.run_path(str(BOOK / f"{name}.py"))["main"](picture, **options)
    return said.getvalue()


def test_every_script_is_run() -> None:
    assert {path.stem for path in BOOK.glob("*.py")} == set(SMALL)


QUICK = [
    "ch04_gradient_descent",
    "ch04_train_two_layer_net",
    "ch06_optimizers_on_a_valley",
    "ch06_overfitting_dropout",
]


@pytest.mark.parametrize("name", exhaustive_but(QUICK, SMALL))
def test_a_script_draws_its_picture(backend: Backend, name: str, tmp_path: Path) -> None:
    """And prints what it prints on NumPy, as far as float32 has it."""
    if backend.name == "strict":
        pytest.skip("an engine for tests, on which these scripts take minutes")
    right, pixels = on_numpy(name)
    if backend.name == "numpy":
        assert min(pixels.shape[:2]) > 300
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 10
        assert len(numbers(right)) > 2
        assert np.isfinite(numbers(right)).all()
        return
    said = run(name, tmp_path / "picture.png", **SMALL[name])
    assert matplotlib.image.imread(tmp_path / "picture.png").shape == pixels.shape
    np.testing.assert_allclose(numbers(said), numbers(right), rtol=0.02, atol=0.01)


@functools.cache
def on_numpy(name: str) -> tuple[str, Any]:
    """What a script prints and draws there."""
    with fastnn.use_backend("numpy"), tempfile.TemporaryDirectory() as directory:
        picture = Path(directory, "picture.png")
        return run(name, picture, **SMALL[name]), matplotlib.image.imread(picture)


def numbers(text: str) -> list[float]:
    words = "".join(one if one in "0123456789.-e" else " " for one in text).split()
    return [float(word) for word in words if any(map(str.isdigit, word)) and word[-1].isdigit()]


def test_without_an_argument_it_is_drawn_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ch04_gradient_descent"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [f"{name}.py"])
    runpy.run_path(str(BOOK / f"{name}.py"), run_name="__main__")
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.png"]
    monkeypatch.setattr("sys.argv", [f"{name}.py", "way.svg"])
    runpy.run_path(str(BOOK / f"{name}.py"), run_name="__main__")
    assert "<svg" in (tmp_path / "way.svg").read_text("utf-8")


def test_the_walk_ends_at_the_lowest_point() -> None:
    script = runpy.run_path(str(BOOK / "ch04_gradient_descent.py"))
    points = script["descend"](np.array([-3.0, 4.0]), 0.1, 100)
    np.testing.assert_allclose(points[-1], [0, 0], atol=1e-8)
    np.testing.assert_allclose(points[1], [-2.4, 3.2])


def test_optimizers_walk_as_the_books_formulas_say() -> None:
    script = runpy.run_path(str(BOOK / "ch06_optimizers_on_a_valley.py"))
    v = np.zeros(2)
    position, expected = np.array([-7.0, 2.0]), [np.array([-7.0, 2.0])]
    for _ in range(30):
        v = 0.9 * v - 0.1 * np.array([position[0] / 10, 2 * position[1]])
        position = position + v
        expected.append(position)
    found = script["walk"](fastnn.Momentum(lr=0.1), 30)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
