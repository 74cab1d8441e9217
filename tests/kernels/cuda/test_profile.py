"""Memory accesses of a training step, as the simulated device counts them.

Where shapes are aligned no access to global memory moves more than 1.25 times the sectors that it
needs, and no access to shared memory meets a bank conflict.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from fastnn.kernels import cuda

from fastnn.backends.cupy.crossing import COUNTS
from tests.helpers import gpu_profile
from tests.helpers.gpu import run_script, simulator

pytestmark = pytest.mark.gpu

CONFLICTS = {
    "head": (
        "w[m * stride + c] = some[j]",
        "W2 is brought to shared memory once a block, outside of every loop: rows of an odd length "
        "have no conflict where they are read, M times C of them, and up to 2 where written",
    )
}
"""Lines of the source that have bank conflicts, and why they may."""

KERNELS = {"gather_product", "hidden_product", "head", "loss", "back", "update_weights"}


@pytest.fixture(scope="module")
def profiled() -> list[dict[str, Any]]:
    return profile_of("aligned")


def profile_of(which: str) -> list[dict[str, Any]]:
    simulator()
    script = Path(gpu_profile.__file__).read_text(encoding="utf-8")
    script = f"import sys; sys.argv = ['', {which!r}]\n" + script.replace(
        "from __future__ import annotations\n", ""
    )
    found: list[dict[str, Any]] = json.loads(run_script(script, CUPYSIM_PROFILE="1"))
    return found


def text_of(kernel: str, line: int) -> list[str]:
    """Give the texts that a line number may mean: of the kernel's own file, or of step.cuh."""
    name = kernel.partition("<")[0]
    own = [(cuda.HERE / f"{file}.cu").read_text("utf-8") for file in cuda.SOURCES]
    files = [text for text in own if f" {name}(" in text] + [
        (cuda.HERE / "step.cuh").read_text("utf-8")
    ]
    some = [text.splitlines() for text in files]
    return [lines[line - 1].strip() for lines in some if line <= len(lines)]


def test_all_kernels_of_a_step_were_profiled(profiled: list[dict[str, Any]]) -> None:
    names = {one["kernel"].partition("<")[0] for one in profiled}
    assert names == KERNELS | {"begin"}
    for dtype in ("float", "double"):
        assert {f"{name}<{dtype}>" for name in ("head", "loss", "back", "hidden_product")} <= {
            one["kernel"] for one in profiled
        }


def test_global_accesses_move_what_they_need(profiled: list[dict[str, Any]]) -> None:
    seen = 0
    for one in profiled:
        for access in one["accesses"]:
            if access["space"] == "global":
                seen += access["requests"]
                where = (one["kernel"], text_of(one["kernel"], access["line"]), access)
                assert access["cost"] <= 1.25 * access["ideal"], where
    assert seen > 1000


def test_shared_accesses_meet_no_bank_conflict(profiled: list[dict[str, Any]]) -> None:
    seen = 0
    for one in profiled:
        listed = CONFLICTS.get(one["kernel"].partition("<")[0], ("", ""))[0]
        for access in one["accesses"]:
            if access["space"] != "shared" or access["cost"] == access["ideal"]:
                seen += access["space"] == "shared"
                continue
            texts = text_of(one["kernel"], access["line"])
            assert listed, (one["kernel"], texts, access)
            assert any(listed in text for text in texts), (one["kernel"], texts, access)
            assert access["write"]
            assert access["cost"] <= 2 * access["ideal"]
    assert seen > 50


def test_rows_of_bytes_are_read_in_words() -> None:
    """784 bytes begin at a sector or in the middle of one: 32 of them lie in 1.5 of these."""
    seen = []
    for one in profile_of("book"):
        for access in one["accesses"]:
            text = text_of(one["kernel"], access["line"])[-1]
            if "data[start[j]" in text and not access["write"]:
                assert access["ideal"] == 4 * access["requests"]  # a warp's load: 128 bytes
                assert access["cost"] <= 1.5 * access["ideal"]
                seen.append(one["kernel"].partition("<")[0])
    assert sorted(seen) == ["gather_product", "update_weights"]


@pytest.mark.exhaustive
def test_the_crossing_is_computed_from_what_is_counted() -> None:
    counted = {one["kernel"].partition(", ")[0]: one for one in profile_of("wide")}
    for dtype, name in (("float32", "float"), ("float64", "double")):
        kernels = [counted[f"{kernel}<{name}"] for kernel in ("gather_product", "update_weights")]
        for kernel, counts in zip(kernels, COUNTS[dtype], strict=True):
            found = gpu_profile.for_each_multiply_add(kernel)
            assert dataclasses.astuple(counts) == pytest.approx(found, rel=0.1), kernel["kernel"]
