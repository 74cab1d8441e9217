"""Kernels on ARM, as far as that can be seen on another processor: their object code."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("numba")

import llvmlite.binding as llvm
from numba.core.registry import cpu_target

from tests.helpers.kernel_script import HAS_AVX2, NARROWER, run_script

SCRIPT = Path(__file__).parents[2] / "helpers" / "kernels_for_arm.py"
M1 = ("arm64-apple-darwin", "apple-m1")
A72 = ("aarch64-unknown-linux-gnu", "cortex-a72")
CASES = [
    pytest.param("one network", M1, id="one network-M1"),
    pytest.param("one network", A72, id="one network-A72", marks=pytest.mark.exhaustive),
    pytest.param("all", A72, id="all-A72", marks=pytest.mark.exhaustive),
    pytest.param("all", M1, id="all-M1", marks=pytest.mark.soak),
]
"""All is minutes of one core."""


@pytest.mark.parametrize(("kernels", "processor"), CASES)
def test_kernels_compile_for_arm(kernels: str, processor: tuple[str, str], tmp_path: Path) -> None:
    """For the types that they are called for where registers are as wide as ARM's tiles."""
    llvm.initialize_all_targets()
    try:
        llvm.Target.from_triple(processor[0])
    except RuntimeError:
        pytest.skip("this LLVM compiles for no ARM")
    wide = "+avx512f" in str(cpu_target.target_context.codegen().magic_tuple())
    if wide and not HAS_AVX2:
        pytest.skip("this processor has no AVX2")
    called = tmp_path / "called"
    which = ["all"] if kernels == "all" else []
    run_script(SCRIPT, "record", str(called), *which, **(NARROWER if wide else {}))
    run_script(SCRIPT, "compile", str(called), *processor, NUMBA_CACHE_DIR=str(tmp_path))
