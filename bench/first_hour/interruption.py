"""How long Ctrl-C takes to end a training, from the signal to the end of `fit`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from first_hour.extent import Extent

TRAINING = """
import sys, time
import numpy as np, fastnn
from fastnn.backends.cupy.backend import CupyBackend
sizes, samples, streamed = eval(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "streamed"
if streamed:
    CupyBackend.holds = lambda self, nbytes: False
fastnn.set_backend("cupy", strict=True)
x = np.random.default_rng(0).integers(0, 256, (samples, sizes[0])).astype("uint8")
t = np.random.default_rng(1).integers(0, sizes[-1], samples)
network = fastnn.MultiLayerNet(sizes[0], list(sizes[1:-1]), sizes[-1], seed=0)
trained = []
def say(*_):
    if not trained:
        print("trains", flush=True)
    trained.append(1)
options = {"scale": 1 / 256, "optimizer": fastnn.SGD(1e-6), "progress": False}
history = fastnn.fit(network, x, t, epochs=10**6, callbacks=(say,), **options)
assert history.interrupted
print("ended", flush=True)
"""
PAUSE = 0.3
"""Seconds from the end of the first epoch to the signal."""


def measure(extent: Extent, seconds: float) -> Iterator[tuple[str, Any]]:
    """Interrupt trainings of a data set on the device, and of one that is streamed."""
    for where in ("on the device", "streamed"):
        times = [_milliseconds(extent, where) for _ in range(min(3, extent.rounds))]
        yield f"{where}, ms", median(times)


def _milliseconds(extent: Extent, where: str) -> float:
    arguments = [repr(extent.networks[0]), str(min(extent.samples, 60_000)), where]
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING, *arguments],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        _expect(process.stdout.readline(), "trains")
        time.sleep(PAUSE)
        began = time.perf_counter()
        process.send_signal(signal.SIGINT)
        _expect(process.stdout.readline(), "ended")
        return 1e3 * (time.perf_counter() - began)
    finally:
        process.kill()
        process.communicate()


def _expect(line: str, word: str) -> None:
    if line.strip() != word:
        raise RuntimeError(f"the training said {line!r} where {word!r} was expected")
