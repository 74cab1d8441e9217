"""The first hour on a GPU: it works as a whole, and no part of it takes the others with it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.gpu import simulator

BENCH = Path(__file__).parents[2] / "bench"

PARTS = {
    "works": "yield 'one', 1.5\n    yield 'two', {'a|b': [1.0, 2.0, 3.0]}",
    "fails": "yield 'before', 1\n    raise ValueError('so it is')",
    "crashes": "yield 'before', 1\n    os.kill(os.getpid(), signal.SIGSEGV)",
    "hangs": """yield 'before', 1
    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
    yield 'child', child.pid
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(600)""",
    "waits": "time.sleep(600)\n    yield 'never', 1",
}
"""What a part of each name does."""


@pytest.fixture(autouse=True)
def bench_on_the_path() -> Iterator[None]:
    if not BENCH.exists() or sys.platform != "linux":
        pytest.skip("it needs bench/, and Linux to end processes by their group")
    sys.path.insert(0, str(BENCH))
    yield
    sys.path.remove(str(BENCH))


def first_hour(directory: Path, **options: Any) -> tuple[dict[str, Any], str]:
    """Run it; give what is in the file, and the page."""
    from gpu_first_hour import first_hour as run

    report = run(directory, say=lambda line: None, **options)
    assert json.loads((directory / "gpu.json").read_text("utf-8")) == report
    return report, (directory / "gpu.md").read_text("utf-8")


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_a_part_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from first_hour import parts

    monkeypatch.setattr(parts, "GRACE", 0.2)
    for name, body in PARTS.items():
        text = (
            f"import os, signal, subprocess, sys, time\ndef measure(extent, seconds):\n    {body}\n"
        )
        (tmp_path / f"part_that_{name}.py").write_text(text, "utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    order = ["fails", "crashes", "hangs", "works", "waits"]
    some = [parts.Part(f"part_that_{name}", f"It {name}", 60.0) for name in order]
    some[2] = parts.Part("part_that_hangs", "It hangs", 4.0)
    some += [parts.Part("nowhere", "It is not there", 60.0)]
    began = time.monotonic()
    report, page = first_hour(tmp_path / "new" / "one", extent="SMALL", parts=some, seconds=20.0)
    assert time.monotonic() - began < 30
    found = report["parts"]
    states = {name.removeprefix("part_that_"): part["state"] for name, part in found.items()}
    assert states == {
        "fails": "failed", "crashes": "failed", "hangs": "out of time", "works": "done",
        "waits": "out of time", "nowhere": "no time left",
    }  # fmt: skip
    assert "ValueError: so it is" in found["part_that_fails"]["message"]
    assert found["part_that_crashes"]["message"].startswith("exit status -11")
    for name in ("fails", "crashes", "hangs"):
        assert found[f"part_that_{name}"]["found"]["before"] == 1
    assert not is_alive(found["part_that_hangs"]["found"]["child"])
    assert report["times"].startswith("of unknown worth")
    for line in ("| It works | done |", "| two: a\\|b | 2 (1 to 3) |", "ValueError: so it is"):
        assert line in page
    assert "void" not in page


@pytest.mark.gpu
def test_it_runs_on_a_simulated_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole, in small: its times are void, and the crossing is not kept."""
    simulator()
    caches = tmp_path / "caches"
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches))
    report, page = first_hour(tmp_path, extent="SMALL")
    parts = report["parts"]
    assert [part["state"] for part in parts.values()] == ["done"] * 11, page
    assert report["times"].startswith("void")
    assert "Times are void" in page
    assert not list(caches.rglob("cublas-crossing*"))
    assert parts["crossing"]["found"]["kept in"].startswith("SKIPPED")
    kernels = parts["kernels"]["found"]["12-9-4, batch 500, us"]
    assert len(kernels) == 3
    assert min(kernels.values()) > 0
    assert len(parts["launches"]["found"]) >= 2
    assert len(parts["barriers"]["found"]) == 3
    graphs = parts["graphs"]["found"]
    assert graphs["12-9-4"] == "FusedStep: 1 steps of 500, 32 steps of 500"
    assert all("32 steps of 500" in words for words in graphs.values())
    for run in parts["suite"]["found"].values():
        assert run["state"] == "exit status 0"
        assert run["passed"] > 0
    for name, rows in parts["steps"]["found"].items():
        assert list(rows) == ["12-9-4, batch 500"], name
        assert rows["12-9-4, batch 500"]["error of the proof"] < 1e-3
        assert rows["12-9-4, batch 500"]["us a step"][0] > 0
    assert set(parts["steps"]["found"]) == {"fastnn-cupy-fused", "fastnn-cupy-cublas"}
    assert min(parts["streaming"]["found"].values()) > 0
    assert min(parts["interruption"]["found"].values()) > 0
