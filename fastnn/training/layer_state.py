"""What layers keep for themselves while a plan trains them: running averages, counts of draws."""

from __future__ import annotations

from typing import Any

from fastnn.backends.arrays import host_array
from fastnn.backends.plan import StepPlan
from fastnn.checks import dtype_name
from fastnn.nn.sequential import Sequential
from fastnn.training.planner import state_owners


class LayerState:
    """The arrays of a plan that are the state of layers, and their way back to these.

    As with parameters, the layers hold the plan's own arrays, and callbacks are shown copies.
    """

    def __init__(self, network: Sequential, plan: StepPlan) -> None:
        self._backend, self._arrays = network.backend, plan.arrays
        self._owners = state_owners(network)
        self.attach()

    def attach(self) -> None:
        """Let the layers hold the plan's arrays, also where another thread's gradient went on."""
        for name, owner in self._owners.items():
            setattr(*owner, self._arrays[name])

    def show_copies(self) -> None:
        """Let the layers hold copies."""
        for name, owner in self._owners.items():
            setattr(*owner, self._backend.copy(self._arrays[name]))

    def take_over(self) -> None:
        """Write what callbacks have left in the layers to the plan's arrays, and attach these.

        Raises
        ------
        TypeError, ValueError
            If one is of another shape, or holds no real numbers; nothing is taken over then.
        """
        try:
            found = {name: self._fitting(name, getattr(*own)) for name, own in self._owners.items()}
        finally:
            self.attach()
        for name, array in found.items():
            self._arrays[name][...] = array

    def _fitting(self, name: str, value: Any) -> Any:
        array, own = host_array(value, name), self._arrays[name]
        if array.shape != tuple(own.shape) or array.dtype.kind not in "iuf":
            raise ValueError(
                f"a callback made {name} an array of {array.dtype} and shape {array.shape}, not "
                f"{dtype_name(own)} and {tuple(own.shape)}; the network is as it was"
            )
        return self._backend.asarray(value, dtype_name(own))
