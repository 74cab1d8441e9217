"""Every block of code in README and docs runs, as it stands there, one after the other.

Pages that other tests run, and what they compute, are in `ELSEWHERE`. Of shell blocks the
commands of `fastnn` run; those that install are run by ``.ci/run``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastnn
from fastnn import threads
from fastnn.threads import num_threads

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = {
    "callbacks.md": "tests/test_callbacks_page.py",
    "data.md": "tests/test_data_page.py",
    "other-libraries.md": "tests/test_other_libraries_page.py",
    "sklearn.md": "tests/sklearn/test_page.py",
}
INSTALLS = ("python3 -m venv ", "pip install ", "export ")
ENVIRONMENT = ".venv/bin/"
TRAINS = f"{ENVIRONMENT}fastnn train"
"""Behind what installs; for as long as the book does it trains in ``.ci/run``."""

SHARED = "fastnn warmup --shared "
"""It compiles for a minute; `tests/cli/test_warmup.py` runs a smaller one."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )


def lines_of(page: Path) -> list[str]:
    return [line for block in blocks(page, "sh") for line in block.splitlines()]


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


def test_what_installs_is_of_the_readme() -> None:
    """Since ``.ci/run`` takes it from there."""
    readme = (ROOT / "README.md").read_text("utf-8").splitlines()
    commands = [
        line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()
    ]
    assert {line for line in commands if line.startswith("python3 -m venv ")} <= set(readme)


def test_pages_that_others_run_are_run() -> None:
    for page, test in ELSEWHERE.items():
        assert page in (ROOT / test).read_text("utf-8")
    assert {page.name for page in pages_with("python")} > set(ELSEWHERE)


@pytest.mark.filterwarnings("ignore::fastnn.BackendFallbackWarning")  # set_backend("cupy")
@pytest.mark.parametrize(
    "page",
    [page for page in pages_with("python") if page.name not in ELSEWHERE],
    ids=lambda page: page.name,
)
def test_python(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(threads, "_chosen", None)
    names: dict[str, Any] = {}
    with fastnn.use_backend("auto"), num_threads(1):
        for number, code in enumerate(blocks(page, "python")):
            exec(compile(code, f"{page.name}, block {number}", "exec"), names)


@pytest.mark.parametrize("page", pages_with("sh"), ids=lambda page: page.name)
def test_shell(page: Path, tmp_path: Path) -> None:
    """In a directory with the examples, as a clone has them."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for line in lines_of(page):
        if line.endswith(TRAINS):
            line = "fastnn train --epochs 1"
        line = line.removeprefix(ENVIRONMENT)
        if line.startswith((*INSTALLS, SHARED)):
            continue
        assert line.startswith("fastnn "), line
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
