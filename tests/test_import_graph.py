"""How files and folders import each other: no circle, every arrow down, and tests beside them.

All imports count, also those inside functions and those for type annotations alone. What is loaded
by name at run time, the classes of the backends in ``selection.REGISTRY``, is no import.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {"fastnn": ROOT / "fastnn", "fastnn.kernels": ROOT / "kernels"}
Graph = dict[str, set[str]]


def modules_in(sources: Mapping[str, Path]) -> dict[str, Path]:
    """Name every module of some packages, each of which lies in a folder of its own."""
    modules = {}
    for package, folder in sources.items():
        for file in folder.rglob("*.py"):
            parts = [package, *file.relative_to(folder).with_suffix("").parts]
            modules[".".join(parts).removesuffix(".__init__")] = file
    return modules


def imports_of(module: str, modules: Mapping[str, Path]) -> set[str]:
    """Name the modules, of these, that a module imports anywhere in its text."""
    found: set[str] = set()
    file = modules[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: len(package.split(".")) + 1 - node.level])
            origin = ".".join(filter(None, [above if node.level else "", node.module]))
            for alias in node.names:
                inside = f"{origin}.{alias.name}"
                found.add(inside if inside in modules else origin)
    return (found & modules.keys()) - {module}


def folders_of(graph: Graph, modules: Mapping[str, Path]) -> Graph:
    """Give the imports between folders.

    ``__init__.py`` of the whole package and ``__main__.py``, which nothing imports, stand by
    themselves.
    """

    def folder(module: str) -> str:
        if "." not in module:
            return f"{module}/__init__.py"
        if module.endswith(".__main__"):
            return module
        return module if modules[module].name == "__init__.py" else module.rpartition(".")[0]

    folders: Graph = {}
    for module, imported in graph.items():
        folders.setdefault(folder(module), set()).update(map(folder, imported))
    return {name: others - {name} for name, others in folders.items()}


def circle_in(graph: Graph) -> list[str]:
    """Give a circle, its first member repeated at the end; nothing if there is none."""
    done: set[str] = set()

    def search(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if found := search(other, [*path, node]):
                return found
        done.add(node)
        return []

    return next(filter(None, (search(node, []) for node in sorted(graph))), [])


@pytest.fixture(scope="module")
def modules() -> dict[str, Path]:
    return modules_in(SOURCES)


@pytest.fixture(scope="module")
def graph(modules: dict[str, Path]) -> Graph:
    return {module: imports_of(module, modules) for module in modules}


def test_no_circle_between_files(graph: Graph) -> None:
    assert len(graph) > 80
    assert circle_in(graph) == []


def test_no_circle_between_folders(graph: Graph, modules: dict[str, Path]) -> None:
    folders = folders_of(graph, modules)
    assert {"fastnn.nn", "fastnn.backends.numba", "fastnn.kernels.cpu"} <= folders.keys()
    assert circle_in(folders) == []


def test_numba_and_cupy_know_nothing_of_each_other(graph: Graph) -> None:
    for one, other in (("numba", "cupy"), ("cupy", "numba")):
        for module in graph:
            if module.startswith(f"fastnn.backends.{one}"):
                reached = reachable(graph, module)
                assert not [m for m in reached if m.startswith(f"fastnn.backends.{other}")]


def reachable(graph: Graph, start: str) -> set[str]:
    reached: set[str] = set()
    todo = [start]
    while todo:
        for other in graph[todo.pop()] - reached:
            reached.add(other)
            todo.append(other)
    return reached


TOYS: dict[str, tuple[str, str]] = {
    "at the top": ("import toy.b", "from toy import a"),
    "relative": ("from .b import f", "from . import a"),
    "lazy": ("from toy.b import f", "def g():\n    from toy.a import h"),
    "for types": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from toy.b import f",
        "import toy.a as c",
    ),
}


@pytest.mark.parametrize("name", list(TOYS))
def test_a_circle_is_found(tmp_path: Path, name: str) -> None:
    for file, text in zip(("a.py", "b.py"), TOYS[name], strict=True):
        (tmp_path / file).write_text(text, "utf-8")
    (tmp_path / "__init__.py").write_text("", "utf-8")
    modules = modules_in({"toy": tmp_path})
    graph = {module: imports_of(module, modules) for module in modules}
    assert circle_in(graph) == ["toy.a", "toy.b", "toy.a"]


def test_a_circle_of_folders_is_found(tmp_path: Path) -> None:
    for file, text in {
        "one/a.py": "import toy.two.b", "one/c.py": "", "two/b.py": "from toy.one import c",
    }.items():  # fmt: skip
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text, "utf-8")
    modules = modules_in({"toy": tmp_path})
    graph = {module: imports_of(module, modules) for module in modules}
    assert circle_in(graph) == []
    assert circle_in(folders_of(graph, modules)) == ["toy.one", "toy.two", "toy.one"]


def test_no_test_module_imports_another() -> None:
    tests = modules_in({"tests": ROOT / "tests"})
    wrong = [
        (module, other)
        for module in tests
        for other in imports_of(module, tests)
        if other.rpartition(".")[2].startswith("test_")
    ]
    assert wrong == []


def test_every_room_has_its_tests(modules: Iterable[str]) -> None:
    rooms = {module.split(".")[1] for module in modules if module.count(".") > 1}
    tested = {file.parent.name for file in (ROOT / "tests").rglob("test_*.py")}
    tested |= {file.parent.parent.name for file in (ROOT / "tests").rglob("test_*.py")}
    assert rooms <= tested
