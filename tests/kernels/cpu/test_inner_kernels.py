"""Kernels that kernels call by name: they are there when the code that calls them is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.exhaustive import exhaustive_but

pytest.importorskip("numba")

KERNELS = """
from fastnn.kernels.cpu.compiler import inline_kernel, inner_kernel, kernel

@inner_kernel
def halve(x):
    if x == 13:
        raise ValueError("thirteen")
    return x / 2

@inline_kernel
def quarter(x):
    return halve(halve(x))

@inner_kernel
def eighth(x, twice):
    return halve(quarter(x)) + twice

@kernel
def outermost(x):
    return eighth(x, twice=2) + quarter(x)
"""

CALL = """
import warnings
warnings.simplefilter("error")
import kernels_of_a_test as kernels
assert kernels.outermost(16) == 16 / 8 + 2 + 16 / 4
assert kernels.outermost(16.0) == 8
for function in (kernels.halve, kernels.quarter):
    try:
        function(1.0)
        raise SystemExit("Python called it")
    except NotImplementedError:
        pass
try:
    kernels.outermost(13)
    raise SystemExit("the error was lost")
except ValueError as error:
    assert str(error) == "thirteen", error
loaded = sum(kernels.outermost.stats.cache_hits.values())
print(loaded)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the machine code is, after a process has compiled it."""
    (tmp_path / "kernels_of_a_test.py").write_text(KERNELS, "utf-8")
    assert call(tmp_path) == 0
    return tmp_path


def call(directory: Path) -> int:
    """Call the kernels in a new process; give how many codes of the outermost were loaded."""
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(directory / "cache"),
        "PYTHONPATH": str(directory),
    }
    done = subprocess.run(
        [sys.executable, "-c", CALL], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def files(directory: Path, name: str) -> list[Path]:
    return list((directory / "cache").rglob(f"*{name}*.nbc"))


def test_what_calls_and_what_is_called_is_kept(directory: Path) -> None:
    assert len(files(directory, "outermost")) == 2
    assert len(files(directory, "halve")) == 2
    assert not files(directory, "quarter")
    assert call(directory) == 2


@pytest.mark.parametrize("name", exhaustive_but(["halve"], ["halve", "eighth"]))
def test_what_is_called_is_compiled_anew_where_its_file_is_gone(name: str, directory: Path) -> None:
    for file in files(directory, name):
        file.unlink()
    assert call(directory) == 2
    assert files(directory, name)


def test_code_that_calls_what_is_kept_is_compiled_anew(directory: Path) -> None:
    for file in files(directory, "outermost"):
        file.unlink()
    assert call(directory) == 0
