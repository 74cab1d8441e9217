"""How many fast cores a process has: one for each of the threads that wait for each other.

Two hardware threads of one core share its arithmetic, and where some cores are made to save power
the others wait for those. The libraries that count cores (psutil, loky) tell the first apart, not
the second, so the system is asked here.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

SLOWER = 0.5
"""Share of the capacity of ARM's fastest core up to which another is one that saves power."""

CORE = struct.Struct("<IIxB20xHQH6x")
"""What Windows tells of a core; see `_on_windows`."""


@cache
def fast_cores(processors: frozenset[int]) -> int:
    """Count the cores of the fastest kind among processors.

    Parameters
    ----------
    processors : frozenset of int
        The numbers of those that the process may run on. macOS and Windows have no such numbers,
        and are asked. Where the system does not tell, each processor is taken for a core.
    """
    if sys.platform == "darwin":
        found = _on_macos(_sysctl)
    elif sys.platform == "win32":
        found = _on_windows(*_ask_windows())
    else:
        found = _on_linux(processors, Path("/sys/devices"))
    return found or len(processors)


def _on_linux(processors: frozenset[int], devices: Path) -> int:
    """Count what the processors that are fast, or all if none is, have in common; 0 if untold."""
    fast = processors & _fast_processors(processors, devices) or processors
    cores = set()
    for processor in fast:
        try:
            cores.add(_text(_of(processor, devices) / "topology" / "thread_siblings_list"))
        except OSError:
            return len(fast)
    return len(cores)


def _fast_processors(processors: frozenset[int], devices: Path) -> frozenset[int]:
    """Give those that Intel's hybrid processors list, or that have most of ARM's capacities."""
    try:
        return _numbers(_text(devices / "cpu_core" / "cpus"))
    except (OSError, ValueError):
        pass
    try:
        capacities = {each: int(_text(_of(each, devices) / "cpu_capacity")) for each in processors}
    except (OSError, ValueError):
        return processors
    most = max(capacities.values())
    return frozenset(each for each, capacity in capacities.items() if capacity > SLOWER * most)


def _of(processor: int, devices: Path) -> Path:
    return devices / "system" / "cpu" / f"cpu{processor}"


def _text(file: Path) -> str:
    return file.read_text("ascii").strip()


def _numbers(text: str) -> frozenset[int]:
    """Read a list as Linux writes it, ``0-3,8``."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _on_macos(read: Callable[[bytes], int]) -> int:
    """Count the cores of the first level, which is the fastest, or all where there is none."""
    return read(b"hw.perflevel0.physicalcpu") or read(b"hw.physicalcpu")


def _sysctl(name: bytes) -> int:
    """Read a number of macOS'; 0 if it has none of that name."""
    value = ctypes.c_uint64(0)  # room for the numbers of 4 bytes, too, from the lowest on
    size = ctypes.c_size_t(ctypes.sizeof(value))
    ask = ctypes.CDLL(None).sysctlbyname
    failed = ask(name, ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
    return 0 if failed else value.value


def _on_windows(records: bytes, affinity: int) -> int:
    """Count the cores of the highest class among those that an affinity allows; 0 if untold.

    Parameters
    ----------
    records : bytes
        A SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX for each core: a number 0, its size, a byte of
        flags, the class of its efficiency (higher is faster), 20 bytes, how many groups it is in
        (one), the processors that it has as the bits of a mask, and the group of these.
    affinity : int
        The processors that the process may use, as bits; of the first group alone, so that where
        there are several it tells nothing.
    """
    cores: list[tuple[int, int, int]] = []
    place = 0
    while len(records) - place >= CORE.size:
        _, size, efficiency, _, mask, group = CORE.unpack_from(records, place)
        cores.append((efficiency, mask, group))
        place += max(size, CORE.size)
    if all(group == 0 for _, _, group in cores):
        cores = [core for core in cores if core[1] & affinity] or cores
    fastest = max((efficiency for efficiency, _, _ in cores), default=0)
    return sum(efficiency == fastest for efficiency, _, _ in cores)


def _ask_windows() -> tuple[bytes, int]:
    """Ask for what `_on_windows` takes; nothing and 0 where Windows does not tell."""
    if sys.platform != "win32":
        return b"", 0
    system = ctypes.windll.kernel32
    of_cores, size = 0, ctypes.c_ulong(0)
    system.GetLogicalProcessorInformationEx(of_cores, None, ctypes.byref(size))  # tells the size
    records = ctypes.create_string_buffer(size.value)
    told = system.GetLogicalProcessorInformationEx(of_cores, records, ctypes.byref(size))
    own, all_there_are = ctypes.c_size_t(0), ctypes.c_size_t(0)
    this_process = ctypes.c_void_p(-1)
    system.GetProcessAffinityMask(this_process, ctypes.byref(own), ctypes.byref(all_there_are))
    return records.raw[: size.value] if told else b"", own.value
