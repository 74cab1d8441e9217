"""Cases of which a few always run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def exhaustive_but(always: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """Parameters of a test: some of the cases always run, the others with ``-m exhaustive``."""
    chosen = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        marks = () if case in always else (pytest.mark.exhaustive,)
        chosen.append(pytest.param(*values, marks=marks))
    assert sum(not case.marks for case in chosen) == len(always)
    return chosen
