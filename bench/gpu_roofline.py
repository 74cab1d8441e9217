"""The roofline of a step, computed from what the simulated device counts. Nothing here is a time.

    CUPYSIM=1 CUPYSIM_PROFILE=1 PYTHONPATH=. python bench/gpu_roofline.py

prints the tables of docs/gpu.md: for each kernel, how long its arithmetic, its instructions, its
shared memory and its global memory would take at the device's published peak rates, were there
nothing else. Then what other libraries, and one persistent kernel, would take (`gpu_estimates`).
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from fastnn.backends.cupy.products import Products
from gpu_estimates import D, H, N
from gpu_estimates import tables as estimates
from peak_rates import DEVICES, LAUNCH, Device
from tests.helpers.gpu_profile import BOOK, INSTRUCTIONS, SAMPLED_BLOCKS, SECTOR, profile


def times(kernel: dict[str, Any], device: Device) -> dict[str, float]:
    """Microseconds that each resource sets, at its peak rate."""
    blocks = kernel["blocks"]
    rounds = math.ceil(blocks / device.multiprocessors) / blocks  # of all work, on the fullest one
    cost = {"shared": 0.0, "global": 0.0}
    for access in kernel["accesses"]:
        cost[access["space"]] += access["cost"] * blocks / min(blocks, SAMPLED_BLOCKS)
    warp_instructions = sum(kernel[kind] for kind in INSTRUCTIONS) / 32
    flops = device.float32 * 1e6 / device.multiprocessors  # of one, in a microsecond
    cycles = device.clock * 1e3
    return {
        "arithmetic": 2 * kernel["fma32"] * rounds / flops,
        "instructions": warp_instructions * rounds / 4 / cycles,
        "shared memory": cost["shared"] * rounds / cycles,
        "global memory": SECTOR * cost["global"] / (device.bandwidth * 1e3),
    }


def tables() -> str:
    """Make the tables of docs/gpu.md."""
    order = ["gather_product", "head", "update_weights"]
    kernels = [one for one in profile(BOOK, 100, ("float32",)) if one["kernel"][:5] != "begin"]
    kernels.sort(key=lambda one: order.index(one["kernel"].partition("<")[0]))
    lines: list[str] = []
    work: dict[str, float] = {}
    splits: dict[str, int] = {}
    for device in DEVICES:
        lines += [
            f"\n{device.name}, computed, microseconds:\n",
            "| kernel | arithmetic | instructions | shared memory | global memory "
            "| launch | binds |",
            "|---|---|---|---|---|---|---|",
        ]
        work[device.name] = 0.0
        sizes: Any = SimpleNamespace(multiprocessors=device.multiprocessors)
        splits[device.name] = Products.slices(sizes, N, D, H)[0]
        for kernel in kernels:
            some = times(kernel, device)
            binds = max(some, key=lambda name: some[name])
            work[device.name] += some[binds]
            cells = " | ".join(f"{value:.2f}" for value in some.values())
            name = kernel["kernel"].partition("<")[0]
            lines.append(f"| `{name}` | {cells} | {LAUNCH} | {binds} |")
        step = work[device.name] + LAUNCH * len(kernels)
        lines.append(f"\nStep: {step:.1f} us, {100 / step:.1f} million samples a second at most.")
    return "\n".join([*lines, "", estimates(work, splits)])


if __name__ == "__main__":
    print(tables())
