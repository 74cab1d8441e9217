"""What kernels were compiled for, and how long that took."""

from __future__ import annotations

from fastnn.backends.base import Backend
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.sequential import Sequential
from fastnn.wording import shortened

LEAST_SECONDS = 1.0
"""Of compiling, from which on it is told."""


class CompileNotice:
    """Makes the line that tells of compiling, when some has been done.

    Parameters
    ----------
    backend : Backend
        Compiles.
    what : str
        For what.
    compiled_before : float
        Seconds that it had spent on that before.
    """

    def __init__(self, backend: Backend, what: str, compiled_before: float) -> None:
        self._backend, self._what, self._before = backend, what, compiled_before

    def news(self) -> str:
        """Tell of what has been compiled since the last time; "" if that is next to nothing."""
        seconds = self._backend.seconds_compiling() - self._before
        if seconds < LEAST_SECONDS:
            return ""
        self._before += seconds
        return f"fastnn: compiled kernels for {self._what} in {seconds:.1f} s"


def described(network: Sequential, optimizer: Optimizer) -> str:
    """Name what kernels are compiled for, in a few words."""
    kinds = [type(layer).__name__ for layer in network.layers.values()]
    loss = type(network.last_layer).__name__
    rule = type(optimizer).__name__
    return f"{', '.join(shortened(kinds))}, {loss} with {rule} in {network.dtype}"
