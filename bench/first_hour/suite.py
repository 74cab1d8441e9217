"""The tests of the GPU, with an empty cache of kernels and with a full one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from first_hour.extent import Extent
from first_hour.parts import LAST_WORDS, end

RESERVE = 8.0
"""Seconds that are left for the report of what was cut short."""

OUTCOME = re.compile(r"^(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)", re.MULTILINE)
MARKED = "gpu and not soak and not exhaustive"
LISTED = 20
"""Failures that are named."""


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Run them twice; the first run has two thirds of the time."""
    until = time.monotonic() + seconds - RESERVE
    with tempfile.TemporaryDirectory() as cache:
        cold = _run(extent, cache, (until - time.monotonic()) * 2 / 3)
        yield "cold", cold
        warm = _run(extent, cache, until - time.monotonic())
        yield "warm", warm
    fail_if_one_has(cold, warm)


def _run(extent: Extent, cache: str, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-m", MARKED]
    environment = {**os.environ, "CUPY_CACHE_DIR": cache}
    return watched([*command, *extent.tests], environment, seconds)


def fail_if_one_has(*runs: dict[str, Any]) -> None:
    """End the process of a part whose tests have failed, when all is told."""
    if any(run["failed"] or run["error"] or "printed" in run or not run["passed"] for run in runs):
        raise SystemExit("tests failed, or none passed: see what was found")


def watched(command: list[str], environment: dict[str, str], seconds: float) -> dict[str, Any]:
    """Run pytest for at most so many seconds, and count what came of its tests."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "printed"
        with path.open("wb") as file:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                process.wait(max(1.0, seconds))
                state = f"exit status {process.returncode}"
            except subprocess.TimeoutExpired:
                state = "out of time"
            finally:
                # Before it is ended: a test that is interrupted might count as a failure.
                printed = path.read_text("utf-8", "replace")
                end(process)
    outcomes = OUTCOME.findall(printed)
    result: dict[str, Any] = {"state": state, "seconds": round(time.monotonic() - began, 1)}
    for word in ("PASSED", "FAILED", "ERROR", "SKIPPED"):
        result[word.lower()] = sum(outcome == word for _, outcome in outcomes)
    bad = [test for test, outcome in outcomes if outcome in ("FAILED", "ERROR")]
    if bad:
        result["which"] = bad[:LISTED]
    if not state.endswith((" 0", "time")):
        result["printed"] = printed[-LAST_WORDS:]
    return result
