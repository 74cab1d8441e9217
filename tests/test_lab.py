"""The lab: it runs, what its text says of the run is true, and its languages say the same."""

from __future__ import annotations

import ast
import json
import re
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

LAB = Path(__file__).parents[1] / "docs" / "lab"
LANGUAGES = ["en", "zh", "ja"]
FIGURES = 11
CELL = re.compile(
    r"^```\{code-cell\} ipython3\n((?::[^\n]*\n)*)\n?(.*?)^```$", re.MULTILINE | re.DOTALL
)


def page(language: str) -> str:
    return (LAB / f"{language}.md").read_text("utf-8")


def cells(language: str) -> list[tuple[str, str]]:
    """Give the tags and the code of each cell."""
    return CELL.findall(page(language))


def prose(language: str) -> str:
    """Give a page without the header that jupytext reads, and without code."""
    text = CELL.sub("", page(language).split("---\n", 2)[2])
    return re.sub(r"^```sh\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


class Texts(ast.NodeTransformer):
    """Take the texts out of code, and keep them in order; of f-strings what they format stays."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        values = [v for v in node.values if isinstance(v, ast.FormattedValue)]
        self.found.append("".join(str(v.value) for v in node.values if isinstance(v, ast.Constant)))
        for value in values:  # whose format is an f-string as well, and no text
            value.value = self.visit(value.value)
        return ast.JoinedStr([*values])

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, str):
            return node
        self.found.append(node.value)
        return ast.Constant("")


def taken_apart(code: str) -> tuple[str, list[str]]:
    """Give the code of a cell without comments and texts, and its texts."""
    texts = Texts()
    return ast.dump(texts.visit(ast.parse(code))), texts.found


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_code_is_the_same_in_all_languages(language: str) -> None:
    expected, found = cells("en"), cells(language)
    assert len(expected) == len(found) > 20
    for (tags, code), (other_tags, other_code) in zip(expected, found, strict=True):
        assert other_tags == tags
        tree, texts = taken_apart(code)
        other_tree, other_texts = taken_apart(other_code)
        assert other_tree == tree
        for text, other in zip(texts, other_texts, strict=True):
            assert other == text or not other.isascii(), f"{text!r} is neither kept nor translated"


def test_what_would_be_no_translation_is_found() -> None:
    tree, texts = taken_apart("print(f'a {x:4.1f}', params['W1'])  # a comment")
    assert tree == taken_apart("print(f'{x:4.1f} 个', params['W2'])")[0]
    assert texts == ["a ", "W1"]
    assert tree != taken_apart("print(f'a {x:5.1f}', params['W1'])")[0]
    assert tree != taken_apart("print(f'a {y:4.1f}', params['W1'])")[0]


def outline(language: str) -> list[str]:
    """Give headings by their level, cells, formulas, tables' rows and list items in their order."""
    text = CELL.sub("<cell>", page(language).split("---\n", 2)[2])
    text = re.sub(r"^\$\$\n.*?^\$\$$", "<formula>", text, flags=re.MULTILINE | re.DOTALL)
    marks = r"^(#+(?= )|<cell>|<formula>|\||\d+\.(?= )|-(?= )|```sh)"
    return re.findall(marks, text, re.MULTILINE)


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_pages_have_the_same_outline(language: str) -> None:
    assert outline(language) == outline("en")
    assert outline("en").count("##") == 11
    assert sum("plt.show()" in code for _, code in cells(language)) == FIGURES


def formulas(language: str) -> tuple[list[str], set[str]]:
    """Give the formulas that stand alone, without a full stop at the end, and those in lines."""
    text = re.sub(r"`[^`\n]+`", "", prose(language))
    alone = re.findall(r"^\$\$\n(.*?)\n\$\$$", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^\$\$\n.*?\n\$\$$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [formula.rstrip(" .,") for formula in alone], set(re.findall(r"\$([^$\n]+)\$", rest))


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_formulas_are_the_same_in_all_languages(language: str) -> None:
    assert formulas(language) == formulas("en")
    assert len(formulas("en")[0]) == 12


@pytest.mark.parametrize("language", LANGUAGES)
def test_formulas_in_lines_are_seen_as_such_on_a_forge(language: str) -> None:
    for line in re.sub(r"`[^`\n]+`", "", prose(language)).splitlines():
        if line == "$$":
            continue
        pieces = line.split("$")
        assert len(pieces) % 2 == 1, line
        for before in pieces[:-1:2]:
            assert not before or before[-1] in " (", f"no space before a formula: {line}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_jupytext_makes_a_notebook_of_it(language: str, tmp_path: Path) -> None:
    jupytext = pytest.importorskip("jupytext")
    made = tmp_path / "lab.ipynb"
    source = LAB / f"{language}.md"
    command = [
        sys.executable,
        "-m",
        "jupytext",
        "--to",
        "ipynb",
        "--output",
        str(made),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    notebook = jupytext.read(made)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert code == [text.strip("\n") for _, text in cells(language)]
    assert notebook.metadata.kernelspec.name == "python3"
    assert f"jupytext --to ipynb docs/lab/{language}.md" in page(language)


def test_the_site_has_the_notebooks_beside_its_pages(tmp_path: Path) -> None:
    for package in ("jupytext", "sphinx"):
        pytest.importorskip(package)
    site = runpy.run_path(str(LAB.parent / "conf.py"))
    (tmp_path / "lab").mkdir()
    app = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(format="html"))
    site["write_notebooks"](app, None)
    for language in LANGUAGES:
        source = [page(language)]
        site["lead_to_this_site"](app, f"lab/{language}", source)
        (link,) = re.findall(r'<a href="([^"]+)" download>', source[0])
        notebook = json.loads((tmp_path / "lab" / link).read_text("utf-8"))
        code = ["".join(one["source"]) for one in notebook["cells"] if one["cell_type"] == "code"]
        assert code == [text.strip("\n") for _, text in cells(language)]


CLAIMS = """
assert np.log10(errors["float32"][8]) > np.log10(errors["float64"][8]) + 3  # at h = 1e-4
assert min(errors["float32"]) > 1e3 * errors["float64"][8]
found, t10 = small_network(), t_train[:10]
x10 = halved(x_train[:10].astype("float64"))
sound, slip = found.gradient(x10, t10), wrong.gradient(x10, t10)
for name, array in found.params.items():
    numerical = numerical_gradient(lambda: found.loss(x10, t10), array)
    assert distance(sound[name], numerical) < 1e-7 * np.max(np.abs(numerical))
    assert (distance(slip[name], numerical) > 0.5 * np.max(np.abs(numerical))) == (name == "b1")
assert ratio > 500
assert distance(losses["float64"][:100], losses["float32"][:100]) < 1e-4
assert difference < 1e-3
assert accuracy > 0.93
assert np.sum(without_ink) == 67 and np.max(moved[without_ink]) == 0 < np.min(moved[~without_ink])
assert np.sum(answers != t_test) < 400
assert all(history.validation_accuracies[-1] > 0.93 for history in histories.values())
"""
"""What the text says of the run, by the names of the notebook."""

PROGRAM = """
    import json, nbclient, nbformat, sys
    cells = [nbformat.v4.new_code_cell(text) for text in json.load(sys.stdin)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=500).execute()
    print(json.dumps([cell.outputs for cell in notebook.cells]))
"""


@pytest.mark.parametrize(
    "language", ["en", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("zh", "ja"))]
)
def test_the_lab_runs(language: str) -> None:
    for package in ("nbclient", "nbformat", "ipykernel", "matplotlib"):
        pytest.importorskip(package)
    texts = ["import warnings; warnings.simplefilter('error')"]
    texts += [*(code for _, code in cells(language)), CLAIMS]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        input=json.dumps(texts), capture_output=True, text=True, check=False, timeout=550,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outputs: list[list[dict[str, Any]]] = json.loads(done.stdout)
    shown = [output for cell in outputs for output in cell]
    assert sum("image/png" in output.get("data", {}) for output in shown) == FIGURES
    for output in shown:
        if output.get("name") == "stderr":
            assert all(line.startswith("fastnn: compil") for line in output["text"].splitlines())
