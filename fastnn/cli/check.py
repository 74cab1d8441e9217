"""``fastnn check``: whether all backends compute the same, and whether it is the derivative."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fastnn import MultiLayerNet, available_backends, check_gradients, use_backend
from fastnn.cli.options import HiddenOption, sizes
from fastnn.cli.output import folded
from fastnn.datasets import load_mnist
from fastnn.diagnostics.every_part import check_every_part
from fastnn.diagnostics.every_rule import check_every_rule
from fastnn.diagnostics.gradient_check import GradientReport


def check(
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="Check this backend; may be repeated. By default all that can run are checked.",
            show_default=False,
        ),
    ] = None,
    hidden: HiddenOption = "50",
    samples: Annotated[
        int, typer.Option(min=1, max=60000, help="Compare by so many images of MNIST.")
    ] = 3,
    seed: Annotated[int, typer.Option(help="Draw weights and random data from this seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the gradients of every backend, and with the numerical gradient.

    Prints the largest relative errors of every backend, dtype and layer, and of the whole network,
    each with its bound, and exits with status 1 if one is over. What fastnn has besides that
    network is checked in small networks on random data, and every optimizer by a few steps beside
    the same steps by hand.
    """
    (x, t), _ = load_mnist()
    with use_backend("numpy"):
        network = MultiLayerNet(784, sizes(hidden, "--hidden"), 10, seed=seed)
    report = check_gradients(network, x[:samples], t[:samples], backends=backend or None)
    others = check_every_part(backend or None, seed=seed)
    report = GradientReport(
        [*report.comparisons, *others.comparisons, *check_every_rule(backend or None, seed=seed)],
        report.samples,
        report.left_out + others.left_out,
    )
    if as_json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        print(report)
        for name, info in available_backends().items():
            if not info.usable and not backend:
                print(folded(f"{name} was not checked: {info.reason}"))
        verdict = "agree" if report.passed else "DO NOT AGREE"
        print(f"All {len(report.comparisons)} comparisons {verdict} within their bounds.")
    raise typer.Exit(0 if report.passed else 1)
