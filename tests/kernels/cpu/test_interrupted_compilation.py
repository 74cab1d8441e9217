"""Ctrl-C while Numba is imported, and while LLVM compiles and loads kernels."""

from __future__ import annotations

import subprocess
import sys

import pytest

PRESSED_MANY_TIMES = """
import random, signal, sys, threading, time
import numpy as np
import fastnn

main, dice = threading.main_thread().ident, random.Random(int(sys.argv[1]))
pressing, over = threading.Event(), threading.Event()


def press():
    while not over.is_set():
        time.sleep(dice.random() * 0.03)
        if pressing.is_set():
            pressing.clear()
            signal.pthread_kill(main, signal.SIGINT)


signal.signal(signal.SIGINT, signal.default_int_handler)
thread = threading.Thread(target=press, daemon=True)
thread.start()
x, t = np.random.default_rng(0).random((50, 12), np.float32), np.arange(50) % 4
interrupted, found = 0, None
while found is None and interrupted < 60:
    try:
        pressing.set()
        fastnn.set_backend("numba")
        network = fastnn.TwoLayerNet(12, 6, 4, seed=0)
        found = network.loss(x, t)
        network.gradient(x, t)
        pressing.clear()
        time.sleep(0.01)
    except KeyboardInterrupt:
        interrupted += 1
over.set()
thread.join()
network = fastnn.TwoLayerNet(12, 6, 4, seed=0)
loss, gradient = network.loss(x, t), network.gradient(x, t)["W1"].copy()
fastnn.set_backend("numpy")
network = fastnn.TwoLayerNet(12, 6, 4, seed=0)
np.testing.assert_allclose(loss, network.loss(x, t), rtol=1e-6)
np.testing.assert_allclose(gradient, network.gradient(x, t)["W1"], rtol=1e-4, atol=1e-6)
print("interrupted", interrupted, "times")
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_process_goes_on_after_it(seed: int) -> None:
    """Without `uninterrupted` one process in three crashed, or could not import Numba any more."""
    done = subprocess.run(
        [sys.executable, "-c", PRESSED_MANY_TIMES, str(seed)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[1]) > 0
