"""A fork while another thread is in the middle of something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")

COMPILE = """
import os, sys, threading, time, warnings
import numpy as np, fastnn
warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)

fastnn.set_num_threads(2)
x, t = np.eye(6, 8, dtype="float32").repeat(20, 0), np.arange(6).repeat(20)
def loss(backend):
    fastnn.set_backend(backend, strict=True)
    network = fastnn.TwoLayerNet(8, 4, 6, seed=0)
    network.gradient(x, t)
    return float(network.loss(x, t))

def forked(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    for _ in range(1200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, status
            return
        time.sleep(0.1)
    os.kill(child, 9)
    sys.exit("the child hangs")

def right():
    assert abs(loss("numba") - loss("numpy")) < 1e-5

if "numba" in sys.argv:
    fastnn.set_backend("numba")
thread = threading.Thread(target=loss, args=("numba",))
thread.start()
time.sleep(float(sys.argv[1]))
forked(right)
thread.join()
right()
forked(right)
"""


def test_a_fork_while_another_thread_imports_and_compiles(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    # With nothing compiled, the fork comes while it is; later, while Numba is imported.
    for seconds, imported in (("0.3", "numba"), ("0.1", "nothing"), ("0.3", "nothing")):
        done = subprocess.run(
            [sys.executable, "-c", COMPILE, seconds, imported], env=environment,
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def in_a_child(work: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", work], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


HOLD = """
import os, threading, time
from fastnn.system import forking
lock = threading.{kind}()
forking.LONGEST_WAIT = {longest}
forking.hold_while_forking(lock)
taken = threading.Event()
def hold():
    with lock:
        taken.set()
        time.sleep({seconds})
threading.Thread(target=hold).start()
taken.wait()
began = time.monotonic()
child = os.fork()
waited = time.monotonic() - began
free = lock.acquire(timeout=5)
if child == 0:
    os._exit(0 if free else 1)
assert free
assert os.waitpid(child, 0)[1] == 0
assert {least} <= waited <= {seconds} + 5, waited
"""


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize(("longest", "least"), [(30, 0.4), (0.1, 0.1)])
def test_a_fork_waits_for_a_lock_but_not_for_ever(kind: str, longest: float, least: float) -> None:
    in_a_child(HOLD.format(kind=kind, longest=longest, seconds=0.5, least=least))


def test_who_forks_may_hold_the_lock() -> None:
    in_a_child("""
import os, threading
from fastnn.system import forking
lock = threading.RLock()
forking.hold_while_forking(lock)
with lock:
    child = os.fork()
with lock:
    pass
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
free = []
thread = threading.Thread(target=lambda: free.append(lock.acquire(timeout=5)))
thread.start(), thread.join()
assert free == [True]
""")
