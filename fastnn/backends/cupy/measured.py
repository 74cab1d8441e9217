"""The crossing that was measured on this very device, kept in the user's directory of caches.

A file is of one device as CuPy sees it: the part of it that is there (MIG changes its
multiprocessors), the driver, and CuPy. After an update of either another file is looked for, and
until somebody measures again the crossing is the computed one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from fastnn.backends.cupy.crossing import Crossing
from fastnn.errors import KernelCacheWarning
from fastnn.system.atomic_file import write_atomically
from fastnn.system.standard_streams import warn
from fastnn.system.user_cache import user_cache

LARGEST_FILE = 1 << 16
"""Bytes that are read at most, of a file that should have a few hundred."""


def identity(device: Any) -> dict[str, Any]:
    """Say what a measurement holds for; `device` is a ``cupy.cuda.Device``."""
    import cupy

    runtime = cupy.cuda.runtime
    return {
        "device": runtime.getDeviceProperties(device.id)["name"].decode(),
        "capability": str(device.compute_capability),
        "multiprocessors": device.attributes["MultiProcessorCount"],
        "driver": runtime.driverGetVersion(),
        "cupy": cupy.__version__,
    }


def file_of(device: Any) -> Path:
    """Give the file of a device, which need not be there.

    Raises
    ------
    RuntimeError
        For a user without a home.
    """
    text = json.dumps(identity(device), sort_keys=True)
    name = f"cublas-crossing-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    return user_cache() / "fastnn-devices" / name


def measured(device: Any) -> Crossing | None:
    """Read what was measured on a device; None if nobody has, or the file is not to be used.

    Warns
    -----
    KernelCacheWarning
        If there is a file, but it cannot be read, is broken, or is of another device.
    """
    try:
        path = file_of(device)
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE)
    except (FileNotFoundError, NotADirectoryError, RuntimeError):
        return None
    except OSError as error:
        _warn_of(path, f"cannot be read ({error})")
        return None
    try:
        return _crossing_in(content, identity(device))
    except ValueError as error:
        _warn_of(path, str(error))
        return None


def keep(device: Any, crossing: Crossing) -> Path:
    """Write what was measured on a device, to be read from now on, and give the file.

    Raises
    ------
    OSError
        If it cannot be written.
    RuntimeError
        For a user without a home.
    """
    path = file_of(device)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"identity": identity(device), "crossing": dataclasses.asdict(crossing)}
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, text.encode(), "what was measured was not kept")
    return path


def _crossing_in(content: bytes, expected: dict[str, Any]) -> Crossing:
    """Take a file apart; ValueError with what is wrong with it."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("crossing"), dict):
        raise ValueError("has no crossing in it")
    if found.get("identity") != expected:
        raise ValueError(f"is of another device: {found.get('identity')}, not {expected}")
    crossing = found["crossing"]
    limits = [crossing.get(dtype) for dtype in ("float32", "float64")]
    if not all(type(limit) is int and limit > 0 for limit in limits):
        raise ValueError(f"has limits that are no positive integers: {limits}")
    return Crossing(limits[0], limits[1], str(crossing.get("source", "measured")))


def _warn_of(path: Path, problem: str) -> None:
    warn(
        f"the crossing to cuBLAS that was measured for this GPU is left aside: {path} {problem}. "
        "A computed one takes its place, which changes the speed of large networks; remove the "
        "file, or measure again: python bench/cublas_crossing.py in a clone of fastnn",
        KernelCacheWarning,
    )
