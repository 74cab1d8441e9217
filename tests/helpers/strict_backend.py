"""A backend over array_api_strict, on a device that is not the CPU: it refuses hidden conversions.

It shows, to those who have no GPU, whether `fastnn.backends.base` and the layers keep to the array
API standard and never let NumPy touch an array of the device. It is also the shortest example of
a fourth backend.
"""

from __future__ import annotations

from typing import Any

import array_api_strict
import numpy as np

from fastnn.backends import Backend


def is_strict(array: object) -> bool:
    namespace = getattr(type(array), "__array_namespace__", None)
    return namespace is not None and namespace(array) is array_api_strict


class StrictBackend(Backend):
    name = "strict"
    xp: Any = array_api_strict
    device = array_api_strict.Device("device1")

    def owns(self, array: object) -> bool:
        return is_strict(array) and array.device == self.device  # type: ignore[attr-defined]

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        home = array_api_strict.Device("CPU_DEVICE")
        return np.array(array_api_strict.asarray(array, device=home))
