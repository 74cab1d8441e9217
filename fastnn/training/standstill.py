"""Why a training would come to nothing, or does: inputs far from 1, dead units, a loss of NaN.

Each is said once, as a `TrainingWarning`: the first before training begins, the others between two
epochs. So nothing is half done where warnings are errors.
"""

from __future__ import annotations

import math

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import Backend
from fastnn.errors import TrainingWarning
from fastnn.nn.activations import ACTIVATIONS
from fastnn.nn.batch_normalization import BatchNormalization
from fastnn.nn.dropout import Dropout
from fastnn.nn.layer import is_unmodified
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.sequential import Sequential, samples_at_once
from fastnn.system.standard_streams import warn

LARGE, SMALL = 20.0, 0.01
"""Typical magnitudes of inputs beyond which a network hardly learns. Standardized data have 1, also
with rare outliers of some tens; the pixels of MNIST 0.7, as bytes 180."""

ROWS_FOR_MAGNITUDE, ENTRIES_FOR_MAGNITUDE = 256, 1 << 18
"""How many rows and entries of a data set its magnitude is estimated from."""

MOVED, STEPS = 0.01, 20
"""By which fraction a loss has to fall in an epoch, of so many steps or more, to have moved."""

DEAD_SHARE = 0.9
"""Of the units of a layer that have to be dead to be the reason; some are in any network."""

CHECKED_SAMPLES, LEAST_CHECKED = 8192, 256
"""How many samples tell that a unit is dead; and the fewest that do, where memory is scarce."""


def warn_of_magnitude(data: Array, backend: Backend, scale: float) -> None:
    """Warn if typical inputs are far from 1, judged by a few hundred samples without their zeros.

    data : array (K, ...), finite, on the host or on the device of `backend`.
    scale : what they are multiplied by.
    """
    features = max(1, math.prod(data.shape[1:]))
    rows = min(ROWS_FOR_MAGNITUDE, max(1, ENTRIES_FOR_MAGNITUDE // features))
    some = data[:: -(-data.shape[0] // rows), ...]
    values = np.asarray(backend.to_numpy(some) if backend.owns(some) else some)
    values = values[values != 0].astype(np.float64)
    if not values.size:
        return
    with np.errstate(over="ignore", under="ignore"):
        values *= scale
        magnitude = math.sqrt(float(np.mean(values**2)))
    if SMALL <= magnitude <= LARGE:
        return
    least, most = float(values.min()), float(values.max())
    bytes_like = least >= 0 and 127 < most <= 255 and bool(np.all(values == np.floor(values)))
    inputs = "inputs x" if scale == 1 else f"inputs x, times scale={scale:.4g},"
    remedy = (
        "pass scale=1/255 to fit, or divide x by 255"
        if bytes_like and scale == 1
        else "standardize x, for example (x - x.mean(axis=0)) / x.std(axis=0)"
    )
    warn(
        f"{inputs} lie between {least:.4g} and {most:.4g}, typically at {magnitude:.2g} from 0: a "
        f"network hardly learns from inputs so {'large' if magnitude > LARGE else 'small'}, which "
        f"should be about 1 in magnitude; {remedy}",
        TrainingWarning,
    )


class StandstillCheck:
    """Warns once of dead units, if the loss has not moved for an epoch; and once of divergence.

    It looks for dead units after 1, 2, 4, 8, ... epochs and at the end, and for a loss that is no
    number after each; from losses that are on the host already.
    """

    def __init__(self, network: Sequential, data: Array, scale: float, steps: int) -> None:
        self._network = network
        self._data, self._scale = data, scale
        self._steps = steps  # of an epoch
        self._next = 1
        self._diverged = False

    def check(self, losses: list[float], *, at_the_end: bool = False) -> None:
        """Check after an epoch, when the network holds its parameters."""
        self._check_divergence(losses)
        epochs = len(losses) // self._steps
        if epochs < (1 if at_the_end else self._next) or self._next == 0:
            return
        self._next = 2 * epochs
        if not _stands_still(losses[: epochs * self._steps], self._steps):
            return
        dead = [
            f"{count} of the {units} units of {name}"
            for name, count, units in dead_units(self._network, self._data, self._scale)
            if count >= DEAD_SHARE * units
        ]
        if dead:
            self._next = 0
            warn(
                f"the loss has not moved for an epoch, and {' and '.join(dead)} are dead: they "
                "give 0 for every sample, so no gradient reaches their weights. Inputs of "
                "magnitude 1, a smaller learning rate or other initial weights keep units alive",
                TrainingWarning,
            )

    def _check_divergence(self, losses: list[float]) -> None:
        """Warn if the last loss is no finite number, and parameters are none, either."""
        if self._diverged or not losses or math.isfinite(losses[-1]):
            return
        xp = self._network.backend.xp
        params = self._network.params.items()
        broken = [name for name, array in params if not bool(xp.all(xp.isfinite(array)))]
        if not broken:
            return
        self._diverged = True
        finite = max((i for i, loss in enumerate(losses) if math.isfinite(loss)), default=-1)
        before = f" (it was {losses[finite]:.4g} before)" if finite >= 0 else ""
        warn(
            f"the training has diverged: from step {finite + 2} on the loss is {losses[-1]}"
            f"{before}, and {', '.join(broken)} hold NaN or infinity. A smaller learning rate, an "
            "optimizer with clip_norm=1, or targets that are numbers of magnitude 1 prevent that",
            TrainingWarning,
        )


def _stands_still(losses: list[float], steps: int) -> bool:
    """Whether the losses of the last epoch are not below those before by more than chance.

    Chance is what two means differ by that are of batches as different as these: two standard
    errors. Losses that are not finite do not stand still: the network has diverged.
    """
    now, before = losses[-steps:], losses[-2 * steps : -steps]
    if not before:  # the first epoch: its second half, and its first
        now, before = losses[len(losses) // 2 :], losses[: len(losses) // 2]
    if not before or not all(map(math.isfinite, now)):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        chance = 2 * math.sqrt(np.var(now) / len(now) + np.var(before) / len(before))
        level = float(np.mean(before))
        fallen = level - float(np.mean(now))
    return not fallen > max(MOVED * min(1.0, steps / STEPS) * level, chance)


def dead_units(network: Sequential, data: Array, scale: float) -> list[tuple[str, int, int]]:
    """Count the units whose ReLU gives 0 for all of many samples, times `scale`.

    Returns
    -------
    list of (str, int, int)
        For each Affine layer followed by a ReLU: name, dead units, all units. It
        ends before the first layer that is not one of fastnn's, whose state is not to be touched.
    """
    backend, found = network.backend, []
    samples = _samples_with_room(network, data)
    if samples < min(LEAST_CHECKED, data.shape[0]):
        return []
    h, name = data[:: -(-data.shape[0] // samples), ...], ""
    with backend.current(), np.errstate(over="ignore", under="ignore", invalid="ignore"):
        h = backend.asarray(h, network.dtype) * scale
        h = backend.xp.reshape(h, (h.shape[0], -1))
        for key, layer in network.layers.items():
            if is_unmodified(layer, Affine) and layer.W.shape[0] == h.shape[1]:
                h, name = backend.affine(h, layer.W, layer.b), key
            elif is_unmodified(layer, Relu):
                h = backend.relu(h)
                if name:
                    alive = ~backend.xp.all(h <= 0, axis=0)  # NaN is not dead
                    count = int(backend.xp.sum(backend.astype(alive, "int64")))
                    found.append((name, int(h.shape[1]) - count, int(h.shape[1])))
            elif any(is_unmodified(layer, cls) for cls in ACTIVATIONS):
                h = layer.forward(h, for_backward=False)
            elif any(is_unmodified(layer, cls) for cls in (BatchNormalization, Dropout)):
                h = layer.forward(h, train_flg=False, for_backward=False)
            else:
                break
    return found


def _samples_with_room(network: Sequential, data: Array) -> int:
    """Give how many samples fit on the network's device, with the outputs of its layers."""
    shapes = [(1, *array.shape) for array in network.params.values()]
    widths = sorted([math.prod(data.shape[1:]), *(shape[-1] for shape in shapes)])
    numbers = sum(widths[-2:]) + widths[-1]  # what goes in, comes out, and is made on the way
    size = numbers * np.dtype(network.dtype).itemsize
    samples = min(CHECKED_SAMPLES, int(data.shape[0]), samples_at_once(data))
    while samples and not network.backend.holds(samples * size):
        samples //= 2
    return samples
