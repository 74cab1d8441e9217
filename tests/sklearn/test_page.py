"""The code of docs/sklearn.md, one piece after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import fastnn
from fastnn.threads import num_threads

datasets = pytest.importorskip("sklearn.datasets")
pytest.importorskip("sklearn", minversion="1.7")

PAGE = Path(__file__).parents[2] / "docs" / "sklearn.md"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pieces = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(pieces) == 5
    X, y = datasets.load_digits(return_X_y=True)
    monkeypatch.setattr(datasets, "load_digits", lambda return_X_y: (X[:700], y[:700]))
    names: dict[str, Any] = {}
    with fastnn.use_backend("numpy"), num_threads(1):
        for piece in pieces:
            exec(compile(piece, PAGE.name, "exec"), names)
    assert float(capsys.readouterr().out.splitlines()[0]) > 0.9
    assert (tmp_path / "digits.safetensors").exists()


def test_every_parameter_is_named() -> None:
    from fastnn.sklearn import MLPClassifier, MLPRegressor

    text = PAGE.read_text("utf-8")
    for name in {**MLPClassifier().get_params(), **MLPRegressor().get_params()}:
        assert f"`{name}`" in text, name
