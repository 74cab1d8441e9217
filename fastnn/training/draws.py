"""The random numbers of dropout in a training, which follow from the seed of `fit`."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np

from fastnn.nn.dropout import KEYS, Dropout
from fastnn.nn.sequential import Sequential


def begin_draws(network: Sequential, order: np.random.Generator, *, goes_on: bool) -> None:
    """Give each layer that draws a key of its own, and let it begin at draw 0.

    Parameters
    ----------
    network : Sequential
        A layer that is `held` stays as it is.
    order : Generator
        What the batches are drawn by. No number of it is used up: with or without dropout one seed
        gives the same batches.
    goes_on : bool
        Whether the user has the generator, and an earlier training may have begun with it: a layer
        that has its key from there goes on where it was, as the batches do.
    """
    layers = [layer for layer in network.layers.values() if isinstance(layer, Dropout)]
    for layer, key in zip(layers, _keys(order), strict=False):
        if layer.held or (goes_on and layer.key == key):
            continue
        layer.key, layer.draws = key, 0


def _keys(order: np.random.Generator) -> Iterator[int]:
    """Give as many keys as are wanted: those of children of the generator's seed."""
    seed = order.bit_generator.seed_seq
    if not isinstance(seed, np.random.SeedSequence):  # of a generator that was made without one
        twin = copy.deepcopy(order)
        while True:
            yield int(twin.integers(KEYS))
    number = 0
    while True:
        child = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, number))
        yield int(child.generate_state(1, np.uint64)[0]) % KEYS
        number += 1
