"""A page about a network that stands alone: one HTML file with its pictures in it."""

from __future__ import annotations

import html
from os import PathLike
from typing import Any

import numpy as np

from fastnn.backends.arrays import to_numpy
from fastnn.checks import check_file_path
from fastnn.nn.sequential import Sequential
from fastnn.nn.validation import real_array
from fastnn.picture import embedded
from fastnn.reports.answers import Answers, answers_to
from fastnn.reports.picture import image_shape
from fastnn.reports.pictures_of_answers import draw_confusion, draw_samples
from fastnn.reports.weights import plot_weights
from fastnn.system.atomic_file import check_directory_of, write_atomically
from fastnn.version import VERSION

FAILED = "the page was not written"

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
img { max-width: 100%; height: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; }
th, td { padding: 0.2rem 0.8rem; border-bottom: 1px solid #ddd; text-align: right; }
footer { color: #777; font-size: 0.8rem; margin-top: 3rem; }
"""


def write_report(
    network: Sequential,
    x: object,
    t: object,
    path: str | PathLike[str],
    *,
    shape: tuple[int, int] | None = None,
    title: str = "What the network has learned",
    curves: bytes | None = None,
    samples: int = 32,
) -> Answers:
    """Write a page about a network of classes and what it says of a data set, atomically.

    It has the layers, the accuracy, how often each class is found, which ones are taken for which,
    the samples that the network is most wrong about, and the weights of its first layer.

    Parameters
    ----------
    network : Sequential
        With `SoftmaxWithLoss`, on any backend.
    x, t : array_like
        Samples and labels that it was not trained with, as for `Sequential.accuracy`.
    path : path
        Of an HTML file, which needs no other.
    shape : (int, int), optional
        Rows and columns of a sample that is a picture; by default a square, if it can be one.
    title : str, optional
        A line on top.
    curves : bytes, optional
        A PNG file of learning curves to put in.
    samples : int, optional
        How many of the samples to show that it is most wrong about.

    Returns
    -------
    Answers
        What the page tells of.

    Raises
    ------
    OSError
        If the file cannot be written.
    TypeError, ValueError
        If the network does not answer by classes, or the data do not fit it.
    """
    target = check_file_path(path, "path", such_as="report.html")
    check_directory_of(target, FAILED)
    answers = answers_to(network, x, t)
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _in_numbers(answers),
        "<h2>The network</h2>",
        network._repr_html_(),
    ]
    if curves is not None:
        parts += ["<h2>Training</h2>", embedded(curves, "learning curves")]
    parts += [
        "<h2>Which classes are taken for which</h2>",
        draw_confusion(answers.confusion()).html("confusion matrix"),
        _classes(answers),
        "<h2>Where it is most wrong</h2>",
        _mistakes(network, x, answers, shape, samples),
    ]
    if any(len(getattr(layer, "W", np.zeros(0)).shape) == 2 for layer in network.layers.values()):
        first = plot_weights(network, shape=_of_weights(network, x, shape))
        parts += ["<h2>The weights of the first layer</h2>", first.html("weights")]
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + f"\n<footer>fastnn {VERSION}</footer></body></html>\n"
    )
    write_atomically(target, page.encode(), FAILED)
    return answers


def _in_numbers(answers: Answers) -> str:
    wrong = int(np.sum(answers.labels != answers.classes))
    return (
        f"<p>{answers.accuracy:.2%} of {len(answers.labels):,} samples are answered right; "
        f"{wrong:,} are wrong.</p>"
    )


def _classes(answers: Answers) -> str:
    """Give a table with a line for each class."""
    confusion = answers.confusion()
    lines = []
    for label, row in enumerate(confusion):
        right, there, said = int(row[label]), int(row.sum()), int(confusion[:, label].sum())
        found = f"{right / there:.1%}" if there else "-"
        meant = f"{right / said:.1%}" if said else "-"
        lines.append(
            f"<tr><td>{label}</td><td>{there:,}</td><td>{found}</td><td>{said:,}</td>"
            f"<td>{meant}</td></tr>"
        )
    return (
        "<table><thead><tr><th>class</th><th>samples</th><th>of these found (recall)</th>"
        "<th>answers</th><th>of these right (precision)</th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _mistakes(
    network: Sequential, x: object, answers: Answers, shape: tuple[int, int] | None, count: int
) -> str:
    worst = answers.most_wrong(count)
    if not len(worst):
        return "<p>It is wrong about none.</p>"
    data: Any = real_array(x, network.backend, "x")
    features = int(np.prod(data.shape[1:]))
    picture = image_shape(features) if shape is None else shape
    if picture is None:
        listed = ", ".join(map(str, worst.tolist()))
        return f"<p>Rows of x, the worst first: {listed}.</p>"
    chosen = [to_numpy(data[int(i), ...]) for i in worst]
    images = np.reshape(np.stack(chosen), (-1, *picture))
    return draw_samples(
        images, Answers(*(part[worst] for part in answers)), np.arange(len(worst))
    ).html("samples with wrong answers")


def _of_weights(
    network: Sequential, x: object, shape: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Give the shape of pictures, if the first layer with weights sees these."""
    first = next(layer for layer in network.layers.values() if hasattr(layer, "W"))
    return shape if shape is not None and shape[0] * shape[1] == first.W.shape[0] else None
