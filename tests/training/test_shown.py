"""What a console and a notebook show of callbacks, histories and explanations."""

from __future__ import annotations

import html
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Checkpoint, CSVLogger, EarlyStopping, History, Relu, Sequential
from tests.helpers.layers import Square
from tests.helpers.problems import Batch, affine_of

pytestmark = pytest.mark.usefixtures("on_numpy")


class Cells(HTMLParser):
    """The texts of a table's cells, row by row; a tag that is not closed is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag != "br":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def cells(shown: Any) -> list[list[str]]:
    parser = Cells()
    parser.feed(shown._repr_html_())
    assert parser.open == []
    return parser.rows


@pytest.mark.parametrize(
    "text",
    [
        "EarlyStopping(patience=3, restore_best=False, monitor='loss', min_delta=0.01)",
        "EarlyStopping(patience=5, restore_best=True, monitor=None, min_delta=0)",
        "Checkpoint('a b/training.safetensors', every=2, steps=100)",
        "Checkpoint('training.safetensors', every=1, steps=None)",
        "CSVLogger('log.csv')",
        "TensorBoard('runs/one', steps=None)",
    ],
)
def test_callbacks_show_their_arguments(text: str) -> None:
    """In words that make them again."""
    if text.startswith("TensorBoard"):
        pytest.importorskip("tensorboardX")
    found = eval(text, {name: getattr(fastnn, name) for name in fastnn.__all__})
    assert repr(found) == text.replace("a b/", str(Path("a b") / "x")[:-1])


def test_paths_and_numbers_as_they_are_kept() -> None:
    three: Any = np.int64(3)
    assert repr(CSVLogger(Path("log.csv"))) == "CSVLogger('log.csv')"
    assert repr(Checkpoint(Path("it"), three)) == "Checkpoint('it', every=3, steps=None)"
    assert "patience=3," in repr(EarlyStopping(three))


def test_a_history_is_a_table_of_its_first_best_and_last_epoch(data: Batch) -> None:
    network = fastnn.TwoLayerNet(12, 6, 4, seed=0)
    held_out = (data.x[:20], data.t[:20])
    history = fastnn.fit(network, data.x, data.t, epochs=5, validation=held_out, progress=False)
    head, *rows = cells(history)
    assert head == ["", "first epoch", "best epoch", "last epoch"]
    columns = history.by_epoch()
    assert [row[0] for row in rows] == [name for name in columns if name != "seconds"]
    for name, first, best, last in rows:
        values = columns[name]
        right = min(values) if name.endswith("loss") else max(values)
        assert (first, last) == (f"{values[0]:.4g}", f"{values[-1]:.4g}")
        assert best == f"{right:.4g} ({values.index(right) + 1})"
    shown = history._repr_html_()
    assert "5 epochs, 5 steps, 265 samples" in shown
    assert "samples a second" in shown
    assert len(shown) < 2_000


def test_histories_of_nothing_and_of_what_was_cut_short() -> None:
    assert cells(History()) == [["", "first epoch", "best epoch", "last epoch"]]
    history = History(
        losses=[2.0, 1.0, np.nan], epoch_steps=[2, 1], epoch_seconds=[1.0, 0.5], epochs=1,
        validation_losses=[np.nan], interrupted=True,
    )  # fmt: skip
    assert cells(history)[1:] == [["loss", "1.5", "1.5 (1)", "nan"],
                                  ["validation_loss", "nan", "", "nan"]]  # fmt: skip
    assert "interrupted" in history._repr_html_()


def test_an_explanation_is_a_table_and_its_names_are_escaped() -> None:
    first, last = affine_of(np.ones((12, 4)), np.zeros(4)), affine_of(np.ones((4, 4)), np.zeros(4))
    network = Sequential({"<b>first": first, "act": Relu(), "own&": Square(), "last": last})
    told = fastnn.explain(network)
    head, *rows = cells(told)
    assert head == ["part", "runs", "because"]
    assert rows == [[part, told.runs, reason] for part, reason in told.parts]
    assert rows[0][0] == "<b>first (Affine)"
    assert "<b>" not in told._repr_html_()
    assert html.escape("own& (Square)") in told._repr_html_()
    assert repr(told) == str(told)
    assert len(repr(told).splitlines()) == 1 + len(told.parts) + len(told.remarks)
