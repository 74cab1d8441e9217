"""Where a user's caches lie, by the customs of each system."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastnn.system.user_cache import user_cache


@pytest.mark.parametrize(
    ("platform", "variable", "default"),
    [
        ("linux", "XDG_CACHE_HOME", ".cache"),
        ("darwin", "", "Library/Caches"),
        ("win32", "LOCALAPPDATA", "AppData/Local"),
    ],
)
def test_customs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, variable: str, default: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert user_cache() == tmp_path / default
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "own"))
        assert user_cache() == tmp_path / "own"
