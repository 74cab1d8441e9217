"""Runs a part in a process of its own, for as long as it has, and keeps what it found.

A part that fails, crashes or hangs costs itself alone. Its process leads a group: when its time is
up they all end, whatever it has started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parents[1]
GRACE = 3.0
"""Seconds between asking a process to end, by Ctrl-C, and ending it; a part ends others by then."""

LAST_WORDS = 4000
"""Characters of what a process that failed has printed."""


@dataclass(frozen=True)
class Part:
    """A part: its module, what a page calls it, and how many seconds it may take."""

    module: str
    title: str
    seconds: float


def run(part: Part, extent: str, seconds: float) -> dict[str, Any]:
    """Run a part for at most so many seconds.

    Returns
    -------
    dict
        ``state`` ("done", "failed" or "out of time"), ``message`` where it failed, ``seconds``, and
        ``found``: what it yielded, by its name.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        found, printed = Path(directory) / "found", Path(directory) / "printed"
        found.touch()
        command = [sys.executable, str(BENCH / "first_hour_part.py")]
        with printed.open("wb") as file:
            process = subprocess.Popen(
                [*command, part.module, extent, str(seconds), str(found)],
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                cwd=BENCH.parent, start_new_session=True,
            )  # fmt: skip
            state = _ended(process, seconds)
        lines = found.read_text("utf-8").splitlines()
        words = printed.read_text("utf-8", "replace")[-LAST_WORDS:]
    result: dict[str, Any] = {
        "title": part.title,
        "state": state,
        "seconds": round(time.monotonic() - began, 1),
        "found": dict(json.loads(line) for line in lines),
    }
    if state == "failed":
        result["message"] = f"exit status {process.returncode}: {words.strip()}"
    return result


def _ended(process: subprocess.Popen[bytes], seconds: float) -> str:
    try:
        return "failed" if process.wait(seconds) else "done"
    except subprocess.TimeoutExpired:
        return "out of time"
    finally:
        end(process, 2 * GRACE)


def end(process: subprocess.Popen[Any], grace: float = GRACE) -> None:
    """End a process that leads a group, and all of the group, also what it has left behind."""
    for number, patience in ((signal.SIGINT, grace), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
