"""The site: `python -m sphinx -W --keep-going -b html docs build/docs` makes it."""

import tomllib
from pathlib import Path
from typing import Any

import jupytext
from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

project = "fastnn"
author = "the authors of fastnn"
project_copyright = author
version = release = ABOUT["version"]

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
exclude_patterns = ["README.md"]  # which a forge shows; index.md includes it

# Pages are Markdown; those with code cells are notebooks, and run.
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_in_temp = True  # a notebook writes nothing into the sources
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

# The reference follows from the docstrings.
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # the docstrings have types and shapes
default_role = "py:obj"
numpydoc_validation_checks = {
    "all",
    *("EX01", "SA01", "ES01"),  # examples, links and long texts stand in the guide
    *("PR01", "RT01"),  # said once, for what is called alike: "parameters are those of `loss`"
    *("GL02", "SS05", "SS06"),  # texts of attributes; summaries that are formulas
    *("RT04", "RT05"),  # descriptions that begin with code, or end with a bracket
}
numpydoc_validation_exclude = {r"sklearn\.MLP"}  # its own, of parameters and methods
numpydoc_show_class_members = False  # autodoc shows them

toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 80

html_theme = "pydata_sphinx_theme"
html_title = "fastnn"
html_theme_options = {
    "github_url": ABOUT["urls"]["Source"],
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
}
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {page: [] for page in ("index", "quickstart", "gallery")}  # no pages below them
html_math_renderer = "mathml"

LAB = Path(__file__).parent / "lab"
LANGUAGES = {"lab/zh": "zh-Hans", "lab/ja": "ja"}
"""What pages are written in that are not in English; browsers choose their characters by it."""


def lead_to_this_site(app: Sphinx, page: str, source: list[str]) -> None:
    """Have the lab's links to its notebooks on the public site lead to those beside its pages."""
    if page.startswith("lab/"):
        source[0] = source[0].replace(f'href="{ABOUT["urls"]["Documentation"]}lab/', 'href="')


def name_the_language(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Say in which language a page is written."""
    context["language"] = LANGUAGES.get(page, context["language"])


def write_notebooks(app: Sphinx, error: Exception | None) -> None:
    """Lay the lab beside its pages as notebooks that have not been run, to download."""
    if error is None and app.builder.format == "html":
        for page in LAB.glob("??.md"):
            jupytext.write(jupytext.read(page), Path(app.outdir, "lab", f"{page.stem}.ipynb"))


def inline_math(page: Any, node: Any) -> None:
    """Write a formula in the browser's own language: nothing is loaded from another host."""
    page.body.append(tex2mathml(node.astext()))
    raise SkipNode


def displayed_math(page: Any, node: Any) -> None:
    """Write a formula that has its own line."""
    formula = tex2mathml(node.astext(), as_block=True)
    style = "margin: 0.4em 0; padding: 0.6em 0; overflow-x: auto"  # what scrolls is cut at its edge
    page.body.append(f'<div style="{style}">{formula}</div>')
    raise SkipNode


def setup(app: Sphinx) -> None:
    """Connect what this site does besides."""
    app.connect("source-read", lead_to_this_site)
    app.connect("html-page-context", name_the_language)
    app.connect("build-finished", write_notebooks)
    app.add_html_math_renderer("mathml", (inline_math, None), (displayed_math, None))
