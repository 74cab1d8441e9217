"""Why CuPy cannot run here, in words that lead to the fix."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

LEAST_CUPY = (14, 2)
"""Older ones compile kernels that are templates anew in each process, or with some drivers do."""

LEAST_CAPABILITY = {13: (7, 5)}
"""Of a device, for major versions of CUDA that have dropped older ones: 13 begins with Turing."""


def _wheel(cuda: int) -> str:
    """Name the wheel for a major version of CUDA, as pip takes it."""
    return "'cupy-cuda{}x[ctk]>={}.{}'".format(cuda, *LEAST_CUPY)


def _install(cuda: int) -> str:
    """Say how the wheel is installed: as fastnn's extra, or by its own name."""
    return f"pip install 'fastnn-backends[cuda{cuda}x]', or {_wheel(cuda)} by its own name,"


INSTALL = (
    f"{_install(13)} for GPUs of compute capability 7.5 or higher (Turing or later) with NVIDIA "
    f"drivers from 580 on; {_install(12)} for older GPUs, and for drivers from 525 on"
)


def problem_with_cupy() -> str | None:
    """Look for the wheel, the driver, a device, NVRTC; None if all is there."""
    try:
        import cupy
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return f"CuPy is not installed; {INSTALL}."
        return f"CuPy is installed but does not import ({error}); {INSTALL}."
    return _version_problem(cupy) or _driver_problem(cupy) or _device_problem(cupy)


def problem_with_device(index: int) -> str | None:
    """Say that there is no device of this index, and which there are, or that it is too old."""
    import cupy

    names = device_names(cupy)
    if index < len(names):
        return _capability_problem(cupy, index)
    listed = ", ".join(f"{i} ({name})" for i, name in enumerate(names))
    return (
        f"there is no CUDA device {index}; this machine shows device "
        f"{listed}. CUDA_VISIBLE_DEVICES decides which of them a process sees."
    )


def device_names(cupy: Any) -> list[str]:
    """Names of the CUDA devices, in order of their index."""
    runtime = cupy.cuda.runtime
    count = runtime.getDeviceCount()
    return [runtime.getDeviceProperties(i)["name"].decode() for i in range(count)]


def _version_problem(cupy: Any) -> str | None:
    numbers = re.match(r"(\d+)\.(\d+)", cupy.__version__)
    if numbers is None or tuple(map(int, numbers.groups())) >= LEAST_CUPY:
        return None
    return (
        f"CuPy {cupy.__version__} is installed, which does not keep fastnn's compiled kernels from "
        "one process to the next; fastnn needs {}.{} or later: ".format(*LEAST_CUPY)
        + f"pip install --upgrade {_wheel(_cuda_of_wheel(cupy))}."
    )


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
    problem = _capability_problem(cupy, runtime.getDevice())
    if problem is not None:
        return problem
    try:
        one = cupy.ones((2, 2), cupy.float32)
        float((one @ one).sum())
    except Exception as error:
        return (
            "CuPy sees the GPU but cannot compute on it, most often because CUDA's libraries "
            f"(NVRTC, cuBLAS) are missing: pip install {_wheel(_cuda_of_wheel(cupy))}. "
            f"CuPy said: {type(error).__name__}: {error}"
        )
    return None


def _capability_problem(cupy: Any, index: int) -> str | None:
    """Say that a device is older than what the wheel's CUDA compiles for."""
    cuda = _cuda_of_wheel(cupy)
    properties = cupy.cuda.runtime.getDeviceProperties(index)
    capability = properties["major"], properties["minor"]
    least = LEAST_CAPABILITY.get(cuda, (0, 0))
    if capability >= least:
        return None
    has, needs = (f"{major}.{minor}" for major, minor in (capability, least))
    name = properties["name"].decode()
    return (
        f"CUDA device {index} ({name}) has compute capability {has}, and CUDA {cuda}, which this "
        f"CuPy is built for, needs {needs}; put the wheel for CUDA {cuda - 1} in its place: pip "
        f"uninstall cupy-cuda{cuda}x, then pip install {_wheel(cuda - 1)}. If the machine has a "
        "newer GPU, too, let CUDA_VISIBLE_DEVICES show that one alone."
    )


def _cuda_of_wheel(cupy: Any) -> int:
    """Major version of CUDA that the installed wheel was built for."""
    for major in (13, 12, 11):
        try:
            importlib.metadata.version(f"cupy-cuda{major}x")
        except importlib.metadata.PackageNotFoundError:
            continue
        return major
    return int(cupy.cuda.runtime.runtimeGetVersion()) // 1000
