"""The table of docs/gpu.md on `head` is what the script computes."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_documents_have_what_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / "bench").exists():
        pytest.skip("the table needs bench/")
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import gpu_head

    text = (ROOT / "docs" / "gpu.md").read_text("utf-8")
    for line in gpu_head.table().splitlines():
        assert line in text
