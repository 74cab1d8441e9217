"""Fast cores, as Linux, macOS and Windows tell of them."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from fastnn.system import cores


def machine(root: Path, siblings: dict[int, str], **files: str) -> Path:
    """Make a directory like Linux's /sys/devices."""
    for processor, others in siblings.items():
        topology = root / "system" / "cpu" / f"cpu{processor}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{others}\n", "ascii")
    for place, text in files.items():
        file = root / place.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n", "ascii")
    return root


FOUR_OF_TWO = {number: f"{number % 4},{number % 4 + 4}" for number in range(8)}
ALONE = {number: str(number) for number in range(8)}
HYBRID = {**{n: f"{n // 2 * 2}-{n // 2 * 2 + 1}" for n in range(8)}, 8: "8", 9: "9", 10: "10"}
"""Four cores of two threads each, and three that save power."""


def capacities(*numbers: int) -> dict[str, str]:
    return {f"system__cpu__cpu{n}__cpu_capacity": str(number) for n, number in enumerate(numbers)}


@pytest.mark.parametrize(
    ("siblings", "files", "processors", "expected"),
    [
        (FOUR_OF_TWO, {}, range(8), 4),
        (FOUR_OF_TWO, {}, (0, 4), 1),
        (FOUR_OF_TWO, {}, (1, 4), 2),
        (ALONE, {}, range(8), 8),
        (HYBRID, {"cpu_core__cpus": "0-7"}, range(11), 4),
        (HYBRID, {"cpu_core__cpus": "0-7"}, (1, 2, 9), 2),
        (HYBRID, {"cpu_core__cpus": "0-7"}, (8, 9, 10), 3),  # bound to those that save power
        (HYBRID, {"cpu_core__cpus": "0,2-3,6"}, range(11), 3),
        (HYBRID, {"cpu_core__cpus": ""}, range(11), 7),
        (ALONE, capacities(*[1024] * 8), range(8), 8),
        (ALONE, capacities(*[300] * 4, *[870] * 3, 1024), range(8), 4),
        (ALONE, capacities(*[300] * 4, *[870] * 3, 1024), range(4), 4),
        (ALONE, capacities(300), range(8), 8),  # of one alone
        ({}, {}, range(8), 8),
        ({}, {"cpu_core__cpus": "0-5"}, range(8), 6),
    ],
)
def test_linux(
    siblings: dict[int, str], files: dict[str, str], processors: range | tuple[int, ...],
    expected: int, tmp_path: Path,
) -> None:  # fmt: skip
    devices = machine(tmp_path, siblings, **files)
    assert cores._on_linux(frozenset(processors), devices) == expected


M1_PRO = {b"hw.perflevel0.physicalcpu": 6, b"hw.physicalcpu": 8}
INTEL = {b"hw.physicalcpu": 4}


@pytest.mark.parametrize(("numbers", "expected"), [(M1_PRO, 6), (INTEL, 4), ({}, 0)])
def test_macos(numbers: dict[bytes, int], expected: int) -> None:
    assert cores._on_macos(lambda name: numbers.get(name, 0)) == expected


def core(efficiency: int, mask: int, group: int = 0, extra: int = 0) -> bytes:
    """A core as Windows describes it, by the documentation of its structures."""
    size = 32 + 16 + extra
    head = struct.pack("<IIBB20sH", 0, size, int(mask.bit_count() > 1), efficiency, b"", 1)
    return head + struct.pack("<QH6s", mask, group, b"") + bytes(extra)


P_AND_E = [core(1, 3), core(1, 12), core(0, 16), core(0, 32)]


@pytest.mark.parametrize(
    ("records", "affinity", "expected"),
    [
        ([core(0, 3 << 2 * n) for n in range(4)], 0xFF, 4),
        ([core(0, 3 << 2 * n) for n in range(4)], 0b110, 2),
        (P_AND_E, 0x3F, 2),
        (P_AND_E, 0b110001, 1),
        (P_AND_E, 0b110000, 2),  # bound to those that save power
        (P_AND_E, 0, 2),  # untold
        ([core(2, 3, extra=16), core(0, 4), core(1, 8)], 0xF, 1),
        ([core(0, 1, group) for group in range(3)], 1, 3),
        ([], 0xF, 0),
    ],
)
def test_windows(records: list[bytes], affinity: int, expected: int) -> None:
    assert cores._on_windows(b"".join(records), affinity) == expected
    assert cores._on_windows(b"".join(records)[:-1], affinity) >= 0


def test_here() -> None:
    processors = frozenset(range(os.cpu_count() or 1))
    assert 1 <= cores.fast_cores(processors) <= len(processors)
