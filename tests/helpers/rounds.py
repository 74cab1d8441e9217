"""How long a long test is: how many rounds, and from which seed on."""

from __future__ import annotations

import os


def rounds(usual: int) -> range:
    """Give the seeds of the rounds of a test, each round one that can be run again by itself.

    ``FASTNN_SOAK=0.01`` in the environment takes a hundredth of the usual rounds, ``10`` ten times
    as many, and ``FASTNN_SOAK_SEED=1000`` begins with that seed instead of 0: other cases.
    """
    first = int(os.environ.get("FASTNN_SOAK_SEED", "0"))
    return range(first, first + max(1, round(usual * float(os.environ.get("FASTNN_SOAK", "1")))))
