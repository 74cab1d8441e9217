"""Kernels on ARM, as far as that can be seen on another processor: their object code."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("numba")

import llvmlite.binding as llvm
from numba.core.registry import cpu_target

from tests.helpers.kernel_script import HAS_AVX2, NARROWER, run_script

SCRIPT = Path(__file__).parents[2] / "helpers" / "kernels_for_arm.py"
PROCESSORS = [("arm64-apple-darwin", "apple-m1"), ("aarch64-unknown-linux-gnu", "cortex-a72")]


@pytest.fixture(params=["the book's step", pytest.param("all", marks=pytest.mark.exhaustive)])
def called(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """For which types kernels are called where registers are as wide as ARM's tiles."""
    llvm.initialize_all_targets()
    try:
        llvm.Target.from_triple(PROCESSORS[0][0])
    except RuntimeError:
        pytest.skip("this LLVM compiles for no ARM")
    wide = "+avx512f" in str(cpu_target.target_context.codegen().magic_tuple())
    if wide and not HAS_AVX2:
        pytest.skip("this processor has no AVX2")
    which = ["all"] if request.param == "all" else []
    run_script(SCRIPT, "record", str(tmp_path / "called"), *which, **(NARROWER if wide else {}))
    return tmp_path / "called"


@pytest.mark.parametrize(("triple", "cpu"), PROCESSORS)
def test_kernels_compile_for_arm(called: Path, triple: str, cpu: str, tmp_path: Path) -> None:
    """Those of all networks take some ten minutes."""
    run_script(SCRIPT, "compile", str(called), triple, cpu, NUMBA_CACHE_DIR=str(tmp_path))
