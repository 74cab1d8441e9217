"""The comparison of ways to gather runs, and every way gathers. No time is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def test_each_way_is_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not BENCH.exists():
        pytest.skip("the comparison needs bench/")
    monkeypatch.syspath_prepend(str(BENCH))
    import gathering

    monkeypatch.setattr(gathering, "DATA_SETS", (("uint8", 300), ("float32", 300)))
    gathering.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "indexing " in line
        assert "1 thread " in line
        assert line.endswith(" times indexing")
