"""From which size on cuBLAS is faster here: fastnn reads it from the user's caches from then on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from cublas_crossing import measure as measure_crossing
from fastnn.backends.cupy.backend import CupyBackend
from fastnn.backends.cupy.measured import keep
from first_hour.extent import Extent
from simulated import is_simulated


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Measure it, and keep it unless the times are void."""
    backend = CupyBackend()
    yield "before", dataclasses.asdict(backend.products.crossing)
    crossing = measure_crossing(backend, extent.widths, extent.batch_of_widths, extent.rounds)
    yield "measured", dataclasses.asdict(crossing)
    if is_simulated(backend.device):
        yield "kept in", "SKIPPED: the device is a simulated one, whose times say nothing"
    else:
        yield "kept in", str(keep(backend.device, crossing))
