"""Labels, as they come from a user: each is checked before it is used as an address."""

from __future__ import annotations

from typing import Any

from fastnn.kernels.cpu.compiler import kernel

Array = Any


@kernel
def check_indices(t: Array, classes: int, indices: Array) -> bool:
    """``indices = t``, both (N,); False if one is not an integer in ``0 <= t < classes``."""
    for n in range(t.shape[0]):
        label = t[n]
        if not 0 <= label < classes:
            return False
        indices[n] = int(label)
        if indices[n] != label:
            return False
    return True


@kernel
def classes_of_one_hot(t: Array, indices: Array) -> bool:
    """``indices = argmax(t)``, t (N, C), indices (N,); False if a row is not one 1, else 0."""
    wrong = 0
    for n in range(t.shape[0]):
        ones, place = 0, 0
        for c in range(t.shape[1]):
            one = t[n, c] == 1  # no branch: where the 1 stands cannot be guessed
            ones += one
            place += one * c
            wrong += (t[n, c] != 0) & (t[n, c] != 1)
        wrong += ones != 1
        indices[n] = place
    return wrong == 0
