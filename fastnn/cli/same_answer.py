"""A network that says the same whatever it sees has learnt nothing, however finite its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import Sequential, to_numpy

NOISE, GIVEN = 30, 32
"""How many pictures of noise it is asked about, and of those that were handed over."""

ROUNDED = 32
"""Units in the last place by which scores differ that are summed in another order."""


def answers_alike(network: Sequential, x: np.ndarray[Any, Any]) -> bool:
    """Whether scores are the same for pictures that have nothing in common.

    These are `x`, an empty picture, a full one, and noise. Where all units of a layer are dead, the
    scores are biases, for any picture. A network that has learnt to tell pictures apart has units
    that respond to some of these.

    Parameters
    ----------
    network : Sequential
    x : numpy.ndarray (N, D)
        Pictures, as numbers from 0 to 1.
    """
    noise = np.random.default_rng(0).random((NOISE, x.shape[1]), "float32")
    empty, full = np.zeros_like(x[:1]), np.ones_like(x[:1])
    scores = to_numpy(network.predict(np.concatenate([x[:GIVEN], empty, full, noise])))
    size = float(np.abs(scores).max())
    return bool(np.ptp(scores, axis=0).max() <= ROUNDED * np.finfo(scores.dtype).eps * size)
