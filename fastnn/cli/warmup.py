"""``fastnn warmup``: kernels compiled ahead, so that nobody in the class waits for them."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fastnn import Backend, MultiLayerNet, TrainingWarning, fit
from fastnn.cli.options import BackendOption, HiddenOption, select_backend, sizes
from fastnn.cli.output import say, say_aside
from fastnn.nn.losses import LOSSES
from fastnn.nn.networks import ACTIVATIONS
from fastnn.nn.optimizer_names import OPTIMIZERS, optimizer_class

LOSS_NAMES = {cls.__name__: cls for cls in LOSSES}
RELU, PLAIN, OF_CLASSES = ["relu"], ["SGD"], ["SoftmaxWithLoss"]
FLOATS, AS_MNIST = ["float32"], [0.8]
"""What the book's network on MNIST has."""

BATCHES = 3
"""Of each training: two whole ones and a shorter one."""


def _names(names: Any, word: str) -> Any:
    return typer.Option(
        help=f"Use this {word}: {', '.join(names)}; may be repeated.", metavar="NAME"
    )


def warmup(
    backend: BackendOption = None,
    hidden: HiddenOption = "50",
    features: Annotated[int, typer.Option(min=1, help="Take samples of so many numbers.")] = 784,
    outputs: Annotated[
        int, typer.Option(min=1, help="Tell so many classes apart, or give so many other outputs.")
    ] = 10,
    batch_size: Annotated[int, typer.Option(min=2, help="Take so many samples a step.")] = 100,
    activation: Annotated[list[str], _names(ACTIVATIONS, "activation")] = RELU,
    optimizer: Annotated[
        list[str], _names([cls.__name__ for cls in OPTIMIZERS.values()], "optimizer")
    ] = PLAIN,
    loss: Annotated[list[str], _names(LOSS_NAMES, "loss")] = OF_CLASSES,
    dtype: Annotated[
        list[str],
        typer.Option(help="Compute in float32 or float64; may be repeated.", metavar="DTYPE"),
    ] = FLOATS,
    zeros: Annotated[
        list[float],
        typer.Option(
            min=0,
            max=1,
            help="Let this share of the inputs be 0: MNIST has 0.8, tables 0; may be repeated.",
        ),
    ] = AS_MNIST,
    as_bytes: Annotated[
        bool, typer.Option("--bytes", help="Take inputs that are bytes, which fit scales by 1/255.")
    ] = False,
    batch_norm: Annotated[bool, typer.Option(help="Normalise before each activation.")] = False,
    dropout: Annotated[
        float,
        typer.Option(min=0, max=0.99, help="Drop this share of the units behind each activation."),
    ] = 0.0,
    clip_norm: Annotated[
        float | None,
        typer.Option(
            min=0, help="Cut gradients to a norm; any will do, such as 1.", show_default=False
        ),
    ] = None,
    weight_decay: Annotated[
        float, typer.Option(min=0, help="Let weights decay; any rate will do, such as 0.1.")
    ] = 0.0,
    shared: Annotated[
        bool,
        typer.Option(help="Let all users read the machine code, in the directory NUMBA_CACHE_DIR."),
    ] = False,
) -> None:
    """Compile what training needs, for each combination of the options, and keep it.

    Trains small networks of these sizes on noise. By default it is the book's network on MNIST. The
    machine code is for this kind of processor, and this version of fastnn and Numba.
    """
    engine = select_backend(backend)
    units = sizes(hidden, "--hidden")
    made = list(itertools.product(activation, optimizer, loss, dtype, zeros))
    for names, known, option in (
        (activation, ACTIVATIONS, "--activation"), (loss, LOSS_NAMES, "--loss"),
        (dtype, ("float32", "float64"), "--dtype"),
    ):  # fmt: skip
        _check_names(names, known, option)
    optimizers = [optimizer_class(name) for name in optimizer]
    if shared and engine.name != "numba":
        raise typer.BadParameter(
            f"only Numba's machine code is shared, and the backend is {engine.name}",
            param_hint="--shared",
        )
    began, compiled = time.perf_counter(), engine.seconds_compiling()
    for kind, rule, judge, floats, share in made:
        network = MultiLayerNet(
            features, units, outputs, kind, use_batchnorm=batch_norm, use_dropout=dropout > 0,
            dropout_ratio=dropout, dtype=floats, seed=0,
        )  # fmt: skip
        network.lastLayer = LOSS_NAMES[judge]()
        chosen: Callable[..., Any] = optimizers[optimizer.index(rule)]
        _use(
            network, chosen(clip_norm=clip_norm, weight_decay=weight_decay), batch_size, share,
            as_bytes=as_bytes,
        )  # fmt: skip
        layers = "-".join(map(str, (features, *units, outputs)))
        say(f"{layers}, {kind}, {judge}, {rule}, {floats}, {share:g} of inputs 0: ready")
    seconds = engine.seconds_compiling() - compiled
    passed = time.perf_counter() - began
    say(f"compiling took {seconds:.1f} s of {passed:.1f} s{_kept(engine, shared)}")


def _check_names(names: list[str], known: Any, option: str) -> None:
    for name in names:
        if name not in known:
            raise typer.BadParameter(
                f"expected one of {', '.join(known)}, got {name!r}", param_hint=option
            )


def _use(
    network: MultiLayerNet, optimizer: Any, batch_size: int, share: float, *, as_bytes: bool
) -> None:
    """Do with a network what a script does, on noise."""
    draw = np.random.default_rng(0)
    features = next(iter(network.params.values())).shape[0]
    samples = (BATCHES - 1) * batch_size + batch_size // 2
    x = np.where(draw.random((samples, features)) < share, 0, draw.random((samples, features)))
    x = (255 * x).astype("uint8") if as_bytes else x.astype(network.dtype)
    outputs = int(network.predict(x[:1]).shape[1])
    kind = type(network.last_layer).__name__
    t: Any = draw.random((samples, outputs)).round()
    if kind == "SoftmaxWithLoss":
        t = draw.integers(0, outputs, samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        fit(
            network, x, t, batch_size=batch_size, optimizer=optimizer, seed=0, validation=(x, t),
            scale=1 / 255 if as_bytes else 1.0, progress=False,
        )  # fmt: skip
    for labels in (t, t.astype("uint8")):
        network.loss(x, labels)
        network.gradient(x[:batch_size], labels[:batch_size])
        if network._measure() is not None:
            network.score(x, labels)
    optimizer.update(network.params, network.gradient(x, t))
    network.predict(x)


def _kept(engine: Backend, shared: bool) -> str:
    """Say where the machine code is, and let others read it if that is wanted."""
    if engine.name != "numba":
        return ""
    import numba

    from fastnn.kernels.cpu.machine_code.places import cache_directory, share

    directory: Path | None = cache_directory()
    if directory is None:
        say_aside("fastnn: there is no directory that machine code can be kept in")
        return ""
    if shared:
        share(directory)
        trouble = None
        if not _read_by_all(directory):
            trouble = f"other users cannot get to {directory}"
        elif not numba.config.CACHE_DIR:
            trouble = f"other users do not look in {directory}"
        if trouble:
            say_aside(
                f"fastnn: {trouble}: set NUMBA_CACHE_DIR to a directory that all can read, for "
                "this command and for them"
            )
    return f"; {len(list(directory.glob('*.nbc')))} kernels are in {directory}"


def _read_by_all(directory: Path) -> bool:
    """Whether all may enter a directory, and those around it, so far as that can be told."""
    with contextlib.suppress(OSError):
        return sys.platform == "win32" or all(
            place.stat().st_mode & 0o001 for place in (directory, *directory.parents)
        )
    return False
