"""``fastnn train``: the book's network on MNIST, or on a data set in its format."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from fastnn import SGD, Callback, Checkpoint, History, Sequential, fit
from fastnn.cli.options import (
    BackendOption,
    DtypeOption,
    HiddenOption,
    SeedOption,
    select_backend,
    sizes,
)
from fastnn.cli.output import say, say_aside, warnings_as_lines
from fastnn.cli.run_directory import (
    CHECKPOINT,
    CURVES,
    HISTORY,
    NETWORK,
    new_directory,
    read_settings,
    remove_if_empty,
    remove_run,
    write_curves,
    write_history,
    write_settings,
)
from fastnn.cli.settings import RATE_OF_SGD, Settings
from fastnn.datasets import load_idx, load_mnist
from fastnn.datasets.directory import DataSet
from fastnn.nn.networks import ACTIVATIONS, GAINS
from fastnn.nn.optimizer_names import OPTIMIZERS
from fastnn.system.standard_streams import is_terminal
from fastnn.training.state import Training

Tell = Callable[[str], None]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

NAMES = [cls.__name__ for cls in OPTIMIZERS.values()]


def train(
    context: typer.Context,
    backend: BackendOption = None,
    epochs: Annotated[int, typer.Option(min=0, help="Go through the data so often.")] = 17,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Take so many samples a step; by default 100, or all if they are fewer.",
            show_default=False,
        ),
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help=f"Train by one of {', '.join(NAMES)}.", metavar="NAME")
    ] = SGD.__name__,
    lr: Annotated[
        float | None,
        typer.Option(
            min=0,
            help=f"Set the learning rate; by default {RATE_OF_SGD} for SGD, else the "
            "optimizer's own.",
            show_default=False,
        ),
    ] = None,
    weight_decay: Annotated[
        float, typer.Option(min=0, help="Let weights decay at this rate; biases are spared.")
    ] = 0.0,
    hidden: HiddenOption = "50",
    activation: Annotated[
        str, typer.Option(help=f"Use one of {', '.join(ACTIVATIONS)}.", metavar="NAME")
    ] = "relu",
    init: Annotated[
        str | None,
        typer.Option(
            help=f"Draw initial weights by {', '.join(GAINS)}, or with this standard deviation; "
            "by default 0.01 for one hidden layer, as in the book, else relu.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    dropout: Annotated[
        float, typer.Option(min=0, help="Drop this share of the units behind each activation.")
    ] = 0.0,
    batch_norm: Annotated[
        bool, typer.Option("--batch-norm", help="Normalise before each activation.")
    ] = False,
    dtype: DtypeOption = "float32",
    seed: SeedOption = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Read a directory of IDX files, such as Fashion-MNIST; by default MNIST.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the files of the run to this directory; by default to fastnn-run, or "
            "fastnn-run-2, ..., where no other run is.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Go on with the run in this directory, by its own settings; only --epochs, "
            "--backend and how it is shown may be other ones.",
            show_default=False,
        ),
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = is_terminal(sys.stderr),
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print a summary as JSON, and all else on standard error."),
    ] = False,
) -> None:
    """Train the book's network, by default for as long as the book does (10,200 steps).

    Prints the loss and the accuracies after each epoch, and writes network.safetensors,
    history.json, curves.png and what --resume needs. Ctrl-C ends the training; what was trained so
    far is written. Pressed twice, it ends all at once; whole epochs can be gone on with.
    """
    settings = Settings(
        backend, epochs, batch_size, optimizer, lr, weight_decay, hidden, activation, init, dropout,
        batch_norm, dtype, seed, None if data is None else str(data.resolve()),
    )  # fmt: skip
    if resume is not None:
        settings = _resumed(resume, settings, _given(context))
    engine = select_backend(settings.backend)
    settings = replace(settings, backend=engine.name)
    data_set = load_mnist() if settings.data is None else load_idx(Path(settings.data))
    (x_train, t_train), (x_test, t_test) = data_set
    units = [x_train.shape[1], *sizes(settings.hidden, "--hidden"), _classes(data_set)]
    network = settings.network(units)
    rule = settings.make_optimizer()
    is_new = resume is None and not (out is not None and out.exists())
    directory = new_directory(out) if resume is None else resume
    checkpoint = directory / CHECKPOINT

    device = f"{engine.name} ({engine.info().device})"
    title = f"{'-'.join(map(str, units))} on {device}, {settings.dtype}, {rule!r}"
    tell = say_aside if as_json else say
    tell(f"{title}, {len(x_train)} images")
    begin = _Begin(settings, directory, anew=resume is None)
    try:
        with warnings_as_lines():
            history = fit(
                network,
                x_train,
                t_train,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                optimizer=rule,
                seed=settings.seed,
                validation=(x_test, t_test),
                callbacks=[
                    begin,
                    _Report(settings.epochs, progress, tell),
                    Checkpoint(checkpoint),
                ],
                progress=progress,
                resume=checkpoint if resume else None,
            )
    except KeyboardInterrupt:
        tell(_interrupted(directory))
        raise typer.Exit(INTERRUPTED) from None
    except Exception:
        if is_new:
            remove_if_empty(directory)
        raise
    if begin.epochs_before and history.epochs == begin.epochs_before and not history.interrupted:
        tell(
            f"nothing was trained: --epochs counts those that {directory} has, which are "
            f"{history.epochs}: --epochs {history.epochs + 1} or more goes on"
        )
    summary = _finish(network, history, data_set, directory, title, tell)
    if as_json:
        print(json.dumps(summary, indent=2))
    if history.interrupted:
        raise typer.Exit(INTERRUPTED)


def _given(context: typer.Context) -> set[str]:
    """Name the parameters that were given, by the command line or else."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name != "DEFAULT"}


def _resumed(directory: Path, asked: Settings, given: set[str]) -> Settings:
    """Give the settings of a run to go on with; epochs and backend may be other ones."""
    others = given - {"resume", "epochs", "backend", "progress", "as_json"}
    if others:
        names = ", ".join("--" + name.replace("_", "-") for name in sorted(others))
        raise ValueError(f"a run is gone on with by its own settings: leave out {names}")
    settings = read_settings(directory)
    kept = {name: getattr(asked, name) for name in given & {"epochs", "backend"}}
    return replace(settings, **kept)


def _interrupted(directory: Path) -> str:
    if (directory / CHECKPOINT).exists():
        return f"interrupted; fastnn train --resume {directory} goes on after the last whole epoch"
    return "interrupted; nothing was written"


class _Begin(Callback):
    """Writes the settings when it is certain that there is something to train."""

    def __init__(self, settings: Settings, directory: Path, anew: bool) -> None:
        self.settings, self.directory, self.anew = settings, directory, anew
        self.epochs_before = 0

    def on_train_begin(self, training: Training) -> None:
        self.epochs_before = training.history.epochs
        if self.anew:
            remove_run(self.directory)
        write_settings(self.settings, self.directory)


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
    if not history.losses:
        remove_run(out)
    network.save(out / NETWORK)
    written = {**history.as_dict(), "test_accuracy": accuracy}
    write_history(written, out)
    files = [NETWORK, HISTORY]
    if history.losses:
        write_curves(history.plot(title=title), out)
        files.append(CURVES)
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
        "precision": network.backend.precision,
        "files": [str(out / name) for name in files],
    }


def _classes(data_set: DataSet) -> int:
    labels: Sequence[int] = [int(t.max(initial=0)) for _, t in data_set]
    return max(labels) + 1
