"""What `fit` refuses before it trains: networks, optimizers and scales that do not fit."""

from __future__ import annotations

import numpy as np

from fastnn.checks import check_rate
from fastnn.errors import TrainingWarning
from fastnn.nn.found_parameters import no_parameters, without_names
from fastnn.nn.layer import Layer
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.optimizer_names import optimizer_class
from fastnn.nn.sequential import Sequential
from fastnn.system.standard_streams import warn
from fastnn.wording import shown


def check_optimizer(optimizer: object) -> None:
    """Refuse what is no optimizer of fastnn's, nor derived from one."""
    if isinstance(optimizer, str):
        raise TypeError(
            f"optimizer must be an optimizer and not its name: write "
            f"optimizer=fastnn.{_named(optimizer).__name__}(), got {shown(optimizer)}"
        )
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        raise TypeError(
            f"optimizer is the class {optimizer.__name__} itself: make an object of it, "
            f"optimizer={optimizer.__name__}(...)"
        )
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "optimizer must be one of fastnn's, SGD(0.1), or one derived from fastnn.Optimizer "
            f"with an update of its own, got {shown(optimizer)}; any other trains in a loop: "
            "optimizer.update(network.params, network.gradient(x, t))"
        )


def _named(name: str) -> type[Optimizer]:
    try:
        return optimizer_class(name)
    except ValueError as error:
        raise TypeError(f"optimizer must be an optimizer, such as fastnn.Adam(): {error}") from None


def check_what_fit_calls(network: Sequential, optimizer: Optimizer) -> None:
    """Refuse what a step plan would silently leave out."""
    if not isinstance(network, Sequential):
        raise TypeError(
            f"network must be one of fastnn's, such as TwoLayerNet, got {shown(network)}"
        )
    method = network.replaced_method("loss", "gradient")
    if method is not None:
        raise TypeError(
            f"{type(network).__name__} has a {method} of its own, which fit does not call: it "
            "goes through the layers; train it in a loop, with gradient and optimizer.update"
        )
    optimizer.described_update()


def check_parameters(network: Sequential) -> None:
    """Refuse a network without parameters, and one of which two share memory.

    Warn of a layer with arrays that are not known to be parameters.
    """
    parameters = list(network.params.items())
    if not parameters:
        raise no_parameters(network, "to train")
    for index, (name, array) in enumerate(parameters):
        for other, another in parameters[:index]:
            if network.backend.share_memory(array, another):
                raise ValueError(
                    f"parameters {other!r} and {name!r} are one array, or share memory, and fit "
                    "would part them: give each layer its own, or train in a loop"
                )
    untrained = without_names(network)
    if untrained:
        warn(
            f"the layers {untrained} have arrays that are not trained: their classes name no "
            "parameters, and their backward leaves no dNAME beside a NAME. Write "
            'parameters = ("W", "b") in the class, and leave the gradients in dW and db; or '
            "parameters = () if there is nothing to train",
            TrainingWarning,
        )


def check_batches(network: Sequential, samples: int, batch_size: int, *, which: str = "") -> None:
    """Refuse batches that a layer cannot be trained on; `which` names one of a stream of them."""
    last = samples % batch_size or batch_size
    for name, layer in network.layers.items():
        least = layer.least_batch if isinstance(layer, Layer) else 1
        if min(last, batch_size) < least:
            left = f", which leaves a last batch of {last}" if last < batch_size else ""
            trains = f"layer {name!r} ({type(layer).__name__}) trains on batches of {least} or more"
            if which:
                raise ValueError(f"{which}it has {samples} samples, and {trains}: leave it out")
            raise ValueError(
                f"batch_size is {batch_size} for {samples} samples{left}, and {trains}: choose "
                "another batch_size, or leave samples out"
            )


def check_scale(scale: float, network: Sequential) -> float:
    """Return what inputs are multiplied by: a number that the network's dtype has, and not 0."""
    rate = check_rate(scale, "scale")
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.dtype(network.dtype).type(rate)
    if rounded == 0 or not np.isfinite(rounded):
        raise ValueError(
            f"scale is {shown(scale)}, which is {rounded} in {network.dtype}: it must be greater "
            "than 0 and finite"
        )
    return rate
