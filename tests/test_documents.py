"""The files and folders that the documents name are there, and so are the headings they link to."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = "https://github.com/fastnn-backends/fastnn/blob/main/"
ROOMS = ("fastnn/", "kernels/", "tests/", "bench/", "docs/", "examples/")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
OF_TODAY = [document for document in DOCUMENTS if not document.stem.endswith("-log")]
"""A log names the files of the day that it tells of."""


def links_of(document: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8"))


def named_files(text: str) -> list[str]:
    """Give the paths that a text names in code; of several in a cell, one may leave out its folder.

    Such a one, as in ``kernels/cpu/dense.py``, ``tall.py``, lies where the one before lies.
    """
    found: list[str] = []
    for line in text.splitlines():
        folder = ""
        for name in re.findall(r"`([\w./-]+)`", line):
            is_file = "/" not in name and name.endswith((".py", ".cu", ".cuh"))
            path = folder + name if is_file else name
            if path.startswith(ROOMS):
                found.append(path)
                folder = path.rpartition("/")[0] + "/"
    return found


def anchor(heading: str) -> str:
    """Give the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("document", OF_TODAY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_named_is_there(document: Path) -> None:
    missing = [name for name in named_files(document.read_text("utf-8")) if not exists(name)]
    assert missing == []


def exists(name: str) -> bool:
    return (ROOT / name).exists()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    for target in links_of(document):
        file, _, heading = target.partition("#")
        path = ROOT / file.removeprefix(SOURCES) if file.startswith(SOURCES) else document
        if "://" not in file and file:
            path = document.parent / file
        elif path == document and file:
            continue
        assert path.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
            assert heading in map(anchor, headings), target


def test_links_of_the_readme_work_on_a_package_index() -> None:
    """Where there is no repository around it; what they say of the project is what `urls` say."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert f"{urls['Source']}/blob/main/" == SOURCES
    links = links_of(ROOT / "README.md")
    assert urls["Documentation"] in links
    assert [link for link in links if not link.startswith("https://")] == []


@pytest.mark.parametrize("module", ["fastnn", "fastnn.datasets", "fastnn.sklearn"])
def test_the_reference_has_all_that_is_public(module: str) -> None:
    pages = [page.read_text("utf-8") for page in (ROOT / "docs" / "api").glob("*.md")]
    pages = [page for page in pages if f"currentmodule:: {module}\n" in page]
    named = re.findall(r"auto(?:class|function|exception):: (\w+)\n", "".join(pages))
    assert sorted(named) == sorted(importlib.import_module(module).__all__)


def test_the_hub_has_all_pages() -> None:
    """Which a forge shows; without those that list pages on the site alone."""
    lists = {"README.md", "index.md", "guide.md", "inside.md", "about.md"}
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - lists
    links = links_of(ROOT / "docs" / "README.md")
    assert sorted(links) == sorted({*pages, "lab/index.md", "api/index.md"})


def test_a_wrong_name_is_found() -> None:
    text = "| the tile | `kernels/cpu/dense.py`, `nowhere.py` and `fastnn/backends/numpy.py` |"
    names = named_files(text)
    assert [name for name in names if not exists(name)] == ["kernels/cpu/nowhere.py"]
    assert anchor("2026-11-26: sums over the samples") == "2026-11-26-sums-over-the-samples"
