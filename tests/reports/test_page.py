"""The page about a network: what it counts, and that it stands alone."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import MeanSquaredError, Sequential, TwoLayerNet
from fastnn.backends import Backend
from fastnn.reports.answers import Answers, answers_to
from fastnn.reports.page import write_report
from tests.helpers.problems import Batch, affine_of

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a page holds; every tag that is opened must be closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.html"


def problem() -> tuple[Sequential, Any, Any]:
    """A network whose answers are known: the largest of four pixels, in pictures of 2 x 2."""
    x = np.random.default_rng(0).random((50, 4)).astype("float32")
    network = Sequential([affine_of(np.eye(4, dtype="float32"), np.zeros(4, "float32"))])
    t = x.argmax(axis=1)
    t[:7] = (t[:7] + 1) % 4
    return network, x, t


def test_answers_are_counted(backend: Backend) -> None:
    network, x, t = problem()
    answers = answers_to(network, x, t)
    assert answers.accuracy == pytest.approx(network.accuracy(x, t)) == 43 / 50
    expected = np.zeros((4, 4), int)
    for label, said in zip(t, x.argmax(axis=1), strict=True):
        expected[label, said] += 1
    np.testing.assert_array_equal(answers.confusion(), expected)
    at_label = answers.probabilities[np.arange(7), t[:7]]
    np.testing.assert_array_equal(answers.most_wrong(3), np.argsort(at_label, kind="stable")[:3])
    assert sorted(answers.most_wrong(99)) == list(range(7))


def test_the_page_stands_alone(backend: Backend, path: Path) -> None:
    network, x, t = problem()
    answers = write_report(network, x, t, path, title="<b> & co", samples=5)
    assert answers.accuracy == 43 / 50
    page = Page(path)
    assert not [a for a in page.attributes if a[1] in ("href", "action") or a[0] == "script"]
    pictures = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(pictures) == 3
    for picture in pictures:
        assert picture is not None
        kind, _, content = picture.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content).startswith(b"\x89PNG")
    assert "<b> & co" in page.text
    assert "86.00% of 50 samples are answered right; 7 are wrong" in page.text
    assert "Affine(4 -> 4, float32)" in page.text
    confusion, page_text = answers.confusion(), path.read_text("utf-8")
    for label in range(4):
        there, said = confusion[label].sum(), confusion[:, label].sum()
        found, meant = confusion[label, label] / there, confusion[label, label] / said
        line = f"<td>{label}</td><td>{there}</td><td>{found:.1%}</td><td>{said}</td>"
        assert f"{line}<td>{meant:.1%}</td>" in page_text


def test_all_right_and_classes_that_are_missing(path: Path) -> None:
    network, x, _ = problem()
    right = x.argmax(axis=1)
    some = right < 2
    write_report(network, x[some], right[some], path, curves=b"\x89PNG of curves")
    page = Page(path)
    assert "It is wrong about none." in page.text
    assert "100.00%" in page.text
    assert base64.b64encode(b"\x89PNG of curves").decode() in path.read_text("utf-8")


def test_samples_that_are_no_pictures(path: Path) -> None:
    batch = Batch(30, 7, 3)
    write_report(TwoLayerNet(7, 5, 3, seed=0), batch.x, batch.t, path, samples=4)
    assert re.search(r"Rows of x, the worst first: \d+, \d+", Page(path).text)


def test_pictures_of_another_shape_and_one_hot_labels(path: Path) -> None:
    batch = Batch(30, 6, 3)
    images = batch.x.reshape(30, 1, 2, 3)
    write_report(TwoLayerNet(6, 5, 3, seed=0), images, batch.one_hot, path, shape=(2, 3), samples=4)
    assert "Rows of x" not in Page(path).text


def test_many_classes(path: Path) -> None:
    batch = Batch(100, 9, 30)
    write_report(TwoLayerNet(9, 5, 30, seed=0), batch.x, batch.t, path, samples=4)
    assert isinstance(answers_to(TwoLayerNet(9, 5, 30, seed=0), batch.x, batch.t), Answers)


def test_what_is_refused_leaves_nothing(path: Path, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4)
    with pytest.raises(ValueError, match="label"):
        write_report(network, batch.x, batch.t + 4, path)
    with pytest.raises(ValueError, match=r"\(N, 12\)"):
        write_report(network, batch.x[:, :5], batch.t, path)
    network.lastLayer = MeanSquaredError()
    with pytest.raises(TypeError, match="MeanSquaredError: it needs SoftmaxWithLoss"):
        write_report(network, batch.x, batch.t, path)
    assert list(path.parent.iterdir()) == []


def test_a_network_without_weights(path: Path, batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = Sequential([fastnn.Relu()])
    write_report(network, batch.x[:, :4], batch.t, path, samples=4)
    assert "weights" not in Page(path).text
