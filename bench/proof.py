"""Whether a contestant trains what it claims to: its parameters are those of plain formulas."""

from __future__ import annotations

import dataclasses

import numpy as np

from reference import loss
from workload import Array, Workload

TOLERANCE = {"float32": 5e-3, "float64": 1e-9}
"""Of a parameter after the proof's steps: the norm of its error, relative to that of its change.

An activation at the kink of ReLU may fall to the other side in float32 than in float64, which moves
one unit by 0.05 % at 784-2048-10; a step left out is 5 %."""

BESIDE_A_PROOF_IN_FLOAT64 = 0.1
"""The same in float32, where the contestant has been proven in float64: see `proven_workloads`."""

LOSS_TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
"""Of the loss then, relative."""


class NotTheSameError(Exception):
    """A contestant does not train what the others train: its time means nothing."""


def proven_workloads(workload: Workload) -> list[Workload]:
    """Give the workloads that a contestant of this one is proven by.

    Behind several layers with ReLU the gradients of the samples nearly cancel at first: one
    activation that falls to the other side of the kink was seen to move all of them by 3 %. There
    the proof is in float64, and in float32 it is only seen that nothing else is computed.
    """
    if workload.dtype == "float64" or workload.activation != "relu" or len(workload.hidden) == 1:
        return [workload]
    return [dataclasses.replace(workload, dtype="float64"), workload]


def check_the_same(
    name: str, found: dict[str, Array], expected: dict[str, Array], workload: Workload
) -> float:
    """Return the largest error of a contestant's parameters, relative to their change.

    Raises
    ------
    NotTheSameError
        If it, or the loss by these parameters, is over the bound, or the loss has not fallen.
    """
    bound = TOLERANCE["float64" if name == "book" else workload.dtype]
    if len(proven_workloads(workload)) > 1:
        bound = BESIDE_A_PROOF_IN_FLOAT64
    initial = workload.initial()
    errors = {
        key: float(np.linalg.norm(found[key] - right) / _change(key, initial, expected))
        for key, right in expected.items()
    }
    worst = max(errors, key=lambda key: np.nan_to_num(errors[key], nan=np.inf))
    if not errors[worst] <= bound:
        raise NotTheSameError(
            f"{name}: {worst} is off by {errors[worst]:.1e}, the bound is {bound:.0e}"
        )
    x, t = workload.x[:1000].astype("float64"), workload.t[:1000]
    first, right, last = (loss(workload, some, x, t) for some in (initial, expected, found))
    if not (last < first and abs(last - right) <= LOSS_TOLERANCE[workload.dtype] * right):
        raise NotTheSameError(
            f"{name}: the loss went from {first:.6f} to {last:.6f}, not {right:.6f}"
        )
    return errors[worst]


def _change(key: str, initial: dict[str, Array], expected: dict[str, Array]) -> float:
    """Give the norm of what training changed.

    Batch normalisation takes away what a bias before it adds: that one moves by roundings alone,
    and is measured by the `beta` that stands in its place.
    """
    if key.startswith("b") and f"beta{key[1:]}" in expected:
        key = f"beta{key[1:]}"
    return float(np.linalg.norm(expected[key] - initial[key]))
