"""How far a training is: where it is shown, and what."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import textwrap
from typing import Any

import pytest

import fastnn
from fastnn import History, fit
from fastnn.training.compile_notice import CompileNotice, described
from fastnn.training.progress import ProgressBar, TerminalBar
from tests.helpers.networks import small
from tests.helpers.problems import Batch

pytestmark = pytest.mark.usefixtures("on_numpy")


def test_a_bar_that_is_asked_for(data: Batch, capfd: pytest.CaptureFixture[str]) -> None:
    how: dict[str, Any] = {"epochs": 2, "batch_size": 10, "validation": (data.x, data.t)}
    for progress in (None, False):  # no terminal: silent
        fit(small(), data.x, data.t, progress=progress, **how)
        assert capfd.readouterr() == ("", "")
    history = fit(small(), data.x, data.t, progress=True, **how)
    out, err = capfd.readouterr()
    assert out == ""
    last = err.replace("\n", "\r").rstrip("\r").split("\r")[-1]
    assert last.startswith("epoch 2/2 100%|")
    assert "12/12 steps" in last
    accuracy = history.validation_accuracies[-1]
    assert f"loss {history.losses[-1]:.4f}, accuracy {accuracy:.4f}" in last
    assert "samples/s]" in last


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_in_a_terminal() -> None:
    import fcntl
    import pty
    import termios

    program = """
        import numpy as np, fastnn
        fastnn.set_backend("numpy")
        x, t = np.ones((50, 3), "float32"), np.arange(50) % 2
        fastnn.fit(fastnn.TwoLayerNet(3, 2, 2, seed=0), x, t, epochs=2, batch_size=10)
    """
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", textwrap.dedent(program)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    seen = b""
    with contextlib.suppress(OSError):  # which tells the end, on Linux
        while part := os.read(terminal, 4096):
            seen += part
    os.close(terminal)
    assert os.waitpid(child, 0)[1] == 0, seen
    text = seen.decode()
    assert "epoch 2/2 100%|" in text
    assert "10/10 steps [" in text
    assert text.count("\n") == 1  # one line, written again and again


class Compiling:
    """A backend that compiles for as long as it is told."""

    seconds = 5.0

    def seconds_compiling(self) -> float:
        return self.seconds


def test_compiling_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    backend: Any = Compiling()
    what = described(small(), fastnn.SGD(0.1))
    assert what == "Affine, Relu, Affine, SoftmaxWithLoss with SGD in float32"
    for shown in (False, True):
        notice = CompileNotice(backend, what, backend.seconds)
        with ProgressBar(History(), notice, 30, 3, shown) as bar:
            bar.update(10, 2.0)
            backend.seconds += 3.25
            bar.update(10, 1.0)
            backend.seconds += 0.5  # next to nothing
            bar.update(10, 1.0)
        err = capfd.readouterr().err
        assert err.count(f"fastnn: compiled kernels for {what} in 3.2 s\n") == 1
        assert err.count("compiled") == 1
        if shown:  # on a line of its own
            assert f"\rfastnn: compiled kernels for {what}" in err


def test_a_bar_of_unknown_length(capfd: pytest.CaptureFixture[str]) -> None:
    bar = TerminalBar(None, 0)
    bar.show(7, "epoch 1/2", "loss 3")
    bar.close()
    last = capfd.readouterr().err.rstrip().split("\r")[-1]
    assert last.startswith("epoch 1/2 7/? steps [00:0")
    assert last.endswith("loss 3]")
