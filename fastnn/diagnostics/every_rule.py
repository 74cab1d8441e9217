"""Checks of the optimizers: a few steps of `fit` beside the same steps by hand."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np

from fastnn.backends.arrays import host_array
from fastnn.backends.selection import use_backend
from fastnn.checks import DTYPES
from fastnn.diagnostics.checked_parts import Arrays, relative_error
from fastnn.diagnostics.every_part import FEATURES, HIDDEN, OUTPUTS, SAMPLES
from fastnn.diagnostics.gradient_check import BOUNDS, NUMPY, Comparison, engines_to_check
from fastnn.errors import TrainingWarning
from fastnn.nn.networks import MultiLayerNet
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.optimizer_names import OPTIMIZERS
from fastnn.nn.optimizers import SGD, AdamW
from fastnn.nn.sequential import Sequential
from fastnn.training.fit import fit

STEPS = 3
"""From the second on a rule reads state that it has written."""

LR = 0.0625
"""A power of 2, so that float32 has it too."""

PENALTY, DECAY, NORM = 0.125, 0.25, 0.5
"""What is added to loss and gradients, and what these are cut to, where all of it is on."""


def rules(seed: int | None = 0) -> Iterator[tuple[str, Sequential, Optimizer]]:
    """Give a name, a network, and the optimizer that trains it.

    Weight decay is a part of the gradient for SGD, and acts on the parameter itself for AdamW.
    """
    sizes = FEATURES, [HIDDEN], OUTPUTS, "sigmoid"
    for cls in OPTIMIZERS.values():
        yield cls.__name__, MultiLayerNet(*sizes, seed=seed), cls(LR)  # type: ignore[call-arg]
    for full in (SGD(LR, weight_decay=DECAY, clip_norm=NORM), AdamW(LR, clip_norm=NORM)):
        network = MultiLayerNet(*sizes, weight_decay_lambda=PENALTY, seed=seed)
        yield f"{type(full).__name__}, decay, penalty and clipping", network, full


def check_every_rule(
    backends: Iterable[str] | None = None, *, seed: int | None = 0
) -> list[Comparison]:
    """Compare the steps of every optimizer, on random data, with those by hand in float64.

    Parameters
    ----------
    backends : iterable of str, optional
        Which backends; by default all that can run here.
    seed : int, optional
        Of the data and the initial weights.

    Returns
    -------
    list of Comparison
        Of how much `STEPS` steps change each parameter, relative to the largest change of it. There
        is no numerical gradient of that: `fastnn.diagnostics.every_part` checks the gradients.
    """
    engines = engines_to_check(backends)
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((SAMPLES, FEATURES)).astype("float32").astype("float64")
    t = generator.integers(0, OUTPUTS, SAMPLES)
    comparisons = []
    with use_backend("numpy"):
        checked = list(rules(seed))
    for name, network, optimizer in checked:
        start = network.astype("float32").astype("float64")
        right = _changes_by_hand(start, x, t, optimizer)
        for engine in engines:
            for dtype in DTYPES:
                found = _changes(start.copy().to(engine).astype(dtype), x, t, optimizer)
                bound = BOUNDS["network", NUMPY, dtype]
                for parameter, change in right.items():
                    error = relative_error(found[parameter], change)
                    comparisons.append(
                        Comparison(
                            engine.name, dtype, f"steps of {name}", parameter, NUMPY, error, bound
                        )
                    )
    return comparisons


def _changes_by_hand(start: Sequential, x: Any, t: Any, optimizer: Optimizer) -> Arrays:
    trained, rule = start.copy(), deepcopy(optimizer)
    for _ in range(STEPS):
        rule.update(trained.params, trained.gradient(x, t))
    return _differences(start, trained)


def _changes(start: Sequential, x: Any, t: Any, optimizer: Optimizer) -> Arrays:
    trained = start.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)  # nobody wants to learn from these steps
        fit(
            trained, x, t,
            epochs=STEPS, batch_size=len(x), optimizer=deepcopy(optimizer), seed=0, progress=False,
        )  # fmt: skip
    return _differences(start, trained)


def _differences(before: Sequential, after: Sequential) -> Arrays:
    ends = after.params
    return {
        name: host_array(ends[name]).astype("float64") - host_array(array).astype("float64")
        for name, array in before.params.items()
    }
