"""Where a user's call enters a network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastnn.nn.network import NamedLayers

Result = TypeVar("Result")


def at_entry(method: Callable[..., Result]) -> Callable[..., Result]:
    """Run a method of a network as all backends run it.

    The network's device is the current one meanwhile. NaN and infinity go through without a
    warning, and the result shows them: on a GPU nothing warns of them either.
    """

    @functools.wraps(method)
    def run(self: NamedLayers, *arguments: Any, **options: Any) -> Result:
        with self.backend.current(), np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return method(self, *arguments, **options)

    return run


def alone_at_entry(method: Callable[..., Result]) -> Callable[..., Result]:
    """Do as `at_entry`, for one thread at a time, since layers keep something meanwhile."""

    @functools.wraps(method)
    def run(self: NamedLayers, *arguments: Any, **options: Any) -> Result:
        with (
            self._network_lock.alone,
            self.backend.current(),
            np.errstate(over="ignore", under="ignore", invalid="ignore"),
        ):
            return method(self, *arguments, **options)

    return run
