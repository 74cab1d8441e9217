"""The code of docs/data.md, as it stands there, one piece after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "data.md"


def test_the_code_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(pieces) == 3
    names: dict[str, Any] = {}
    for number, code in enumerate(pieces):
        exec(compile(code, f"{PAGE.name}, piece {number}", "exec"), names)
    assert len(names["history"].losses) == 21
    assert len(names["history"].validation_losses) == 3
    assert names["history"].train_accuracies == []
    assert names["network"].accuracy(names["x"], names["t"]) > 0.6
