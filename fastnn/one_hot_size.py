"""How large one-hot labels may become."""

from __future__ import annotations

LARGEST = 1 << 28
"""So many numbers: 1 GiB in float32, 60,000 labels of 4,473 classes."""


def check_one_hot_size(samples: int, classes: int, what: str) -> None:
    """Refuse labels that would take more memory than a machine has, one-hot; `what` says whose.

    A label that is none, such as 2147483647 for "unknown", asks for so many classes.
    """
    size = max(1, samples) * classes
    if size > LARGEST:
        raise ValueError(
            f"{what}: {samples:,} one-hot labels of {classes:,} classes would take {size:,} "
            f"numbers, and at most {LARGEST:,} are made"
        )
