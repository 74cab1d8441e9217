"""The table of docs/gpu.md: registers, shared memory and occupancy of each kernel; needs no GPU.

From the root of the clone::

    python -m bench.gpu_resources
"""

from __future__ import annotations

from tests.helpers.gpu_resources import documented_rows, nvrtc_version

if __name__ == "__main__":
    print(f"NVRTC {nvrtc_version()}")
    print("\n".join(documented_rows()))
