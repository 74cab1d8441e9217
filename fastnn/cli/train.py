"""``fastnn train``: the book's network on MNIST, or on a data set in its format."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fastnn import SGD, History, MultiLayerNet, Optimizer, Sequential, fit
from fastnn.cli.options import (
    BackendOption,
    DtypeOption,
    HiddenOption,
    SeedOption,
    select_backend,
    sizes,
)
from fastnn.cli.output import say, say_aside, warnings_as_lines
from fastnn.datasets import load_idx, load_mnist
from fastnn.datasets.directory import DataSet
from fastnn.nn.optimizer_names import OPTIMIZERS, optimizer_class
from fastnn.system.standard_streams import is_terminal

Tell = Callable[[str], None]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

NAMES = [cls.__name__ for cls in OPTIMIZERS.values()]

RATE_OF_SGD = 0.1
"""The book's, in chapters 4 and 5; `SGD` by itself has that of chapter 6."""


def train(
    backend: BackendOption = None,
    epochs: Annotated[int, typer.Option(min=0, help="How often to go through the data.")] = 17,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Samples of a step; by default 100, or all if they are fewer."),
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help=f"One of {', '.join(NAMES)}.", metavar="NAME")
    ] = SGD.__name__,
    lr: Annotated[
        float | None,
        typer.Option(
            min=0,
            help=f"Learning rate; by default {RATE_OF_SGD}, and the optimizer's own beside SGD.",
        ),
    ] = None,
    hidden: HiddenOption = "50",
    dtype: DtypeOption = "float32",
    seed: SeedOption = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A directory of IDX files, such as Fashion-MNIST; by default MNIST."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Where the network, the history and the curves are written.")
    ] = Path("fastnn-run"),
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = is_terminal(sys.stderr),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a summary as JSON, and the rest as errors are.")
    ] = False,
) -> None:
    """Train the book's network, by default for as long as the book does (10,200 steps).

    Prints the loss and the accuracies after each epoch, and writes network.safetensors,
    history.json and curves.png. Ctrl-C ends the training; what was trained so far is written.
    Pressed twice, it ends all, and nothing is.
    """
    engine = select_backend(backend)
    data_set = load_mnist() if data is None else load_idx(data)
    (x_train, t_train), (x_test, t_test) = data_set
    units = [x_train.shape[1], *sizes(hidden, "--hidden"), _classes(data_set)]
    std = 0.01 if len(units) == 3 else "he"  # deeper networks do not learn from the book's 0.01
    network = MultiLayerNet(
        units[0], units[1:-1], units[-1], weight_init_std=std, dtype=dtype, seed=seed
    )
    rule = _optimizer(optimizer, lr)
    out.mkdir(parents=True, exist_ok=True)

    device = f"{engine.name} ({engine.info().device})"
    title = f"{'-'.join(map(str, units))} on {device}, {dtype}, {rule!r}"
    tell = say_aside if as_json else say
    tell(f"{title}, {len(x_train)} images")
    try:
        with warnings_as_lines():
            history = fit(
                network,
                x_train,
                t_train,
                epochs=epochs,
                batch_size=batch_size,
                optimizer=rule,
                seed=seed,
                validation=(x_test, t_test),
                callbacks=[_Report(epochs, progress, tell)],
                progress=progress,
            )
    except KeyboardInterrupt:
        tell("interrupted; nothing was written")
        raise typer.Exit(INTERRUPTED) from None
    summary = _finish(network, history, data_set, out, title, tell)
    if as_json:
        print(json.dumps(summary, indent=2))
    if history.interrupted:
        raise typer.Exit(INTERRUPTED)


class _Report:
    """A line an epoch, between the progress bar's lines."""

    def __init__(self, epochs: int, progress: bool, tell: Tell) -> None:
        self.epochs, self.progress, self.tell, self.seen = epochs, progress, tell, 0

    def __call__(self, network: Sequential, history: History) -> None:
        losses = history.losses[self.seen :]
        self.seen = len(history.losses)
        line = (
            f"epoch {len(history.epoch_seconds):{len(str(self.epochs))}}/{self.epochs}"
            f"  loss {sum(losses) / len(losses):.4f}"
            f"  train {history.train_accuracies[-1]:.4f}"
            f"  test {history.validation_accuracies[-1]:.4f}"
            f"  {history.epoch_seconds[-1]:.2f} s"
        )
        if self.progress:
            from tqdm import tqdm

            with tqdm.external_write_mode():
                self.tell(line)
        else:
            self.tell(line)


def _finish(
    network: Sequential, history: History, data_set: DataSet, out: Path, title: str, tell: Tell
) -> dict[str, Any]:
    """Write the network, its history and its curves; say and return how it went."""
    accuracy = network.accuracy(*data_set[1])
    network.save(out / "network.safetensors")
    written = {**history.as_dict(), "test_accuracy": accuracy}
    (out / "history.json").write_text(json.dumps(written, indent=1) + "\n")
    files = ["network.safetensors", "history.json"]
    if history.losses:
        history.plot(title=title).savefig(out / "curves.png", dpi=120)
        files.append("curves.png")
    if history.interrupted:
        tell("interrupted; this is what was trained so far")
    if history.losses and not math.isfinite(history.losses[-1]):
        tell(f"the loss is {history.losses[-1]}: the network has diverged; try a smaller --lr")
    compiling = (
        f"; compiling kernels took {history.compile_seconds:.1f} s"
        if history.compile_seconds >= 0.05
        else ""
    )
    tell(
        f"test accuracy {accuracy:.4f} after {len(history.losses)} steps in "
        f"{history.seconds:.2f} s ({history.samples_per_second:,.0f} images a second){compiling}"
    )
    tell(f"wrote {', '.join(files)} to {out}")
    return {
        "test_accuracy": accuracy,
        "steps": len(history.losses),
        "epochs": history.epochs,
        "seconds": history.seconds,
        "samples_per_second": history.samples_per_second,
        "compile_seconds": history.compile_seconds,
        "interrupted": history.interrupted,
        "backend": network.backend.name,
        "files": [str(out / name) for name in files],
    }


def _optimizer(name: str, lr: float | None) -> Optimizer:
    kind: Callable[..., Optimizer] = optimizer_class(name)
    if lr is None:
        return kind(RATE_OF_SGD) if kind is SGD else kind()
    return kind(lr)


def _classes(data_set: DataSet) -> int:
    labels: Sequence[int] = [int(t.max(initial=0)) for _, t in data_set]
    return max(labels) + 1
