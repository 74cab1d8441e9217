"""Networks that are compiled as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastnn import threads as fastnn_threads
from fastnn.backends.numba import compression
from fastnn.backends.numba import runner as numba_runner

SCRIPT = Path(__file__).parent / "compiled_training.py"


def use_threads(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(fastnn_threads, "_chosen", count)
    monkeypatch.setattr(numba_runner, "OPERATIONS_OF_A_THREAD", 1e-9)
    monkeypatch.setattr(compression, "INPUTS_OF_A_THREAD", 1e-9)


NETWORKS = [(30, 10), (30, 300), (30, 20, 10), (30, 400, 10), (30, 65, 8, 129, 3), (30, 260, 70, 2)]
