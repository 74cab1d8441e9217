"""``fastnn report``: a page about a saved network and its mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastnn.cli.options import BackendOption, ModelArgument, select_backend
from fastnn.cli.output import say
from fastnn.cli.run_directory import CURVES, load_network
from fastnn.datasets import load_idx, load_mnist
from fastnn.system.regular_file import open_regular

PNG_START = b"\x89PNG\r\n\x1a\n"


def report(
    model: ModelArgument,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Read a directory of IDX files, such as Fashion-MNIST; by default MNIST.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Write this HTML file.")] = Path("report.html"),
    samples: Annotated[int, typer.Option(min=1, help="Show so many of the worst mistakes.")] = 32,
    backend: BackendOption = None,
) -> None:
    """Write a page about a network: which classes it takes for which, and its worst mistakes.

    MODEL is a network that fastnn saved. It is asked about the test half of the data. The page is
    one file with its pictures in it. The learning curves that `fastnn train` left beside the
    network, curves.png, are shown, too.
    """
    from fastnn.reports.page import write_report

    select_backend(backend)
    network = load_network(model)
    _, (x, t) = load_mnist(flatten=False) if data is None else load_idx(data, flatten=False)
    name = "MNIST" if data is None else data.resolve().name
    answers = write_report(
        network,
        x.reshape(len(x), -1),
        t,
        out,
        shape=(x.shape[2], x.shape[3]),
        title=f"{model.name} on {name}",
        curves=_curves(model.parent / CURVES),
        samples=samples,
    )
    wrong = int((answers.labels != answers.classes).sum())
    say(f"test accuracy {answers.accuracy:.4f}, {wrong} of {len(t)} images wrong; wrote {out}")


def _curves(path: Path) -> bytes | None:
    """Read the picture that lies beside a network, if there is one."""
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError:
        return None
    return content if content.startswith(PNG_START) else None
