"""Every kernel compiles for every architecture: no warning, no spill, and resources that fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastnn.kernels import cuda

from fastnn.backends.cupy.detection import problem_with_cupy
from tests.helpers.gpu_resources import (
    ARCHITECTURES,
    INSTANTIATIONS,
    THREADS_OF_A_BLOCK,
    compile_for,
    documented_rows,
    nvrtc_version,
)

pytestmark = pytest.mark.gpu
DOCUMENT = Path(__file__).parents[3] / "docs" / "gpu.md"


@pytest.fixture(autouse=True)
def _nvrtc() -> None:
    """NVRTC is there; a device is not needed."""
    pytest.importorskip("cupy")
    try:
        nvrtc_version()
    except Exception as error:
        pytest.skip(f"NVRTC does not answer ({error}); {problem_with_cupy()}")


def kernels_in(file: str) -> set[str]:
    return set(
        re.findall(r"__global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(", cuda.source(file))
    )


def test_every_kernel_is_looked_at() -> None:
    assert set(INSTANTIATIONS) == set(cuda.SOURCES) == {p.stem for p in cuda.HERE.glob("*.cu")}
    for file in cuda.SOURCES:
        assert {name.partition("<")[0] for name in INSTANTIATIONS[file]} == kernels_in(file)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", sorted(INSTANTIATIONS))
def test_no_warning_and_no_spill(file: str, architecture: int) -> None:
    found, rest = compile_for(file, architecture)
    assert rest == ""
    assert set(found) == set(INSTANTIATIONS[file])
    for expression, used in found.items():
        threads = THREADS_OF_A_BLOCK[expression.partition("<")[0]]
        assert used.spilled == used.stack == 0, expression
        assert used.registers * threads <= 65536, expression
        assert used.registers <= 168, expression
        assert used.shared <= 48 * 1024, expression
        assert used.barriers <= 1, expression


def test_the_table_in_the_documentation() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    if f"NVRTC {nvrtc_version()}" not in text:
        pytest.skip("the table is of another NVRTC")
    for row in documented_rows():
        assert row in text
