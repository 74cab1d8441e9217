"""The code of docs/callbacks.md, as it stands there; and once more, as after a crash."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn

PAGE = Path(__file__).parents[1] / "docs" / "callbacks.md"


def test_the_code_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pieces = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(pieces) == 4
    names: dict[str, Any] = {}
    with fastnn.use_backend("numpy"):
        for number, code in enumerate(pieces):
            exec(compile(code, f"{PAGE.name}, piece {number}", "exec"), names)
        first, parameters = names["history"], names["network"].params.copy()
        exec(compile(pieces[-1], PAGE.name, "exec"), names)
    assert names["optimizer"].lr == 0.1 / 4
    assert [step for step, _ in names["largest"].found] == [50, 100]
    assert names["stop"].best_epoch > 0
    assert first.epochs == 10
    assert names["history"].losses == first.losses
    for name, array in parameters.items():
        np.testing.assert_array_equal(names["network"].params[name], array)
