"""CuPy: the specification on an NVIDIA GPU. Nothing here copies between host and device."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np

from fastnn.backends.base import Array, Backend, BackendInfo
from fastnn.backends.transfer import host_array

INSTALL = (
    "pip install 'cupy-cuda13x[ctk]' for NVIDIA drivers from 580 on, "
    "'cupy-cuda12x[ctk]' for drivers from 525 on"
)


class CupyBackend(Backend):
    """Arrays on the CUDA device that is current when the backend is first used."""

    name = "cupy"

    def __init__(self) -> None:
        import array_api_compat.cupy
        import cupy

        self.xp = array_api_compat.cupy
        self._cupy = cupy
        self.device = cupy.cuda.Device()

    @classmethod
    def unavailable_reason(cls) -> str | None:
        """See `Backend.unavailable_reason`: look for the wheel, the driver, a device, NVRTC."""
        try:
            import cupy
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
                return f"CuPy is not installed; {INSTALL}."
            return f"CuPy is installed but does not import ({error}); {INSTALL}."
        return _driver_problem(cupy) or _device_problem(cupy)

    def info(self) -> BackendInfo:
        """See `Backend.info`."""
        properties = self._cupy.cuda.runtime.getDeviceProperties(self.device.id)
        return BackendInfo(
            self.name,
            usable=True,
            version=self._cupy.__version__,
            device=properties["name"].decode(),
            memory=int(properties["totalGlobalMem"]),
        )

    def owns(self, array: object) -> bool:
        """See `Backend.owns`."""
        return isinstance(array, self._cupy.ndarray) and array.device == self.device

    def asarray(self, array: object, dtype: str | None = None) -> Array:
        """See `Backend.asarray`."""
        if self.owns(array):
            return self.astype(array, dtype) if dtype else array
        host = host_array(array)
        host = host.astype(dtype or host.dtype.newbyteorder("="), order="C", copy=False)
        with self.device:
            return self._cupy.asarray(host)

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """See `Backend.to_numpy`."""
        return self._cupy.asnumpy(array)  # type: ignore[no-any-return]

    def synchronize(self) -> None:
        """See `Backend.synchronize`."""
        self.device.synchronize()

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """See `Backend.empty`."""
        with self.device:
            return self._cupy.empty(shape, dtype)


def _driver_problem(cupy: Any) -> str | None:
    wheel_runtime = cupy.cuda.runtime
    try:
        driver = wheel_runtime.driverGetVersion()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"the NVIDIA driver does not answer ({error}); nvidia-smi shows its state."
    if driver == 0:
        return (
            "there is no NVIDIA driver on this machine (libcuda was not found); install one from "
            "your system's packages or nvidia.com, or stay on a CPU backend."
        )
    needed = _cuda_of_wheel(cupy)
    if driver // 1000 < needed:
        return (
            f"this CuPy is built for CUDA {needed}, and the NVIDIA driver goes up to CUDA "
            f"{driver // 1000}.{driver % 1000 // 10}; update the driver, or put the right wheel "
            f"in its place: pip uninstall cupy-cuda{needed}x, then {INSTALL}."
        )
    return None


def _device_problem(cupy: Any) -> str | None:
    runtime = cupy.cuda.runtime
    try:
        if runtime.getDeviceCount() == 0:
            return "the NVIDIA driver shows no device; see nvidia-smi and CUDA_VISIBLE_DEVICES."
    except runtime.CUDARuntimeError as error:
        return f"no CUDA device can be used ({error}); see nvidia-smi and CUDA_VISIBLE_DEVICES."
    try:
        one = cupy.ones((2, 2), cupy.float32)
        float((one @ one).sum())
    except Exception as error:
        return (
            "CuPy sees the GPU but cannot compute on it, most often because CUDA's libraries "
            f"(NVRTC, cuBLAS) are missing: pip install 'cupy-cuda{_cuda_of_wheel(cupy)}x[ctk]'. "
            f"CuPy said: {type(error).__name__}: {error}"
        )
    return None


def _cuda_of_wheel(cupy: Any) -> int:
    """Major version of CUDA that the installed wheel was built for."""
    for major in (13, 12, 11):
        try:
            importlib.metadata.version(f"cupy-cuda{major}x")
        except importlib.metadata.PackageNotFoundError:
            continue
        return major
    return int(cupy.cuda.runtime.runtimeGetVersion()) // 1000
