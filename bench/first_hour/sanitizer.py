"""compute-sanitizer over the tests of the kernels: wrong accesses, races, barriers."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

from first_hour.extent import Extent
from first_hour.suite import MARKED, RESERVE, fail_if_one_has, watched

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Give each tool as much of the time as the others have; exit status 9 is a find of theirs."""
    sanitizer = shutil.which("compute-sanitizer")
    until = time.monotonic() + seconds - RESERVE
    runs: list[dict[str, Any]] = []
    for number, tool in enumerate(TOOLS):
        if sanitizer is None:
            yield tool, "SKIPPED: compute-sanitizer is not installed"
            continue
        options = [f"--tool={tool}", "--error-exitcode=9", "--target-processes=all"]
        tests = ["-v", "-x", "-p", "no:cacheprovider", "-m", MARKED, *extent.kernel_tests]
        command = [sanitizer, *options, sys.executable, "-m", "pytest", *tests]
        share = (until - time.monotonic()) / (len(TOOLS) - number)
        run = watched(command, dict(os.environ), share)
        runs.append(run)
        yield tool, run
    fail_if_one_has(*runs)
