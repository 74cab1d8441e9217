"""Processes that are killed while they train go on, to the bits of one that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.helpers.exhaustive import exhaustive_but
from tests.helpers.problems import CPU_BACKEND

PROGRAM = """
    import hashlib, json, os, pathlib, random, signal, sys, time
    import numpy as np, fastnn
    from fastnn.training.checkpoint_file import read_checkpoint
    backend, path, kills, seed = sys.argv[1], pathlib.Path(sys.argv[2]), *map(int, sys.argv[3:])
    fastnn.set_backend(backend, strict=True)
    draw = np.random.default_rng(0)
    x, t = draw.random((200, 12), "float32"), draw.integers(0, 4, 200)

    def train(epochs, path):
        network, optimizer = fastnn.TwoLayerNet(12, 6, 4, 0.5, seed=3), fastnn.Momentum(0.05)
        stop = fastnn.EarlyStopping(10**6, monitor="loss")
        history = fastnn.fit(
            network, x, t, epochs=epochs, batch_size=9, optimizer=optimizer, seed=1,
            progress=False, validation=(x[:50], t[:50]),
            callbacks=[stop] if path is None else [stop, fastnn.Checkpoint(path, steps=5)],
            resume=path if path is not None and path.exists() else None,
        )
        parts = [*network.params.values(), *optimizer.v.values(), np.array(history.losses),
                 np.array(history.train_accuracies)]
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def child(function):
        number = os.fork()
        if number == 0:
            status = 1
            try:
                function()
                status = 0
            finally:
                os._exit(status)
        return number

    train(1, None)  # from here on kernels are compiled, and children have them
    choose = random.Random(seed)
    for kill in range(kills):
        number = child(lambda: train(10**6, path))
        while kill == kills - 1 and not path.exists():  # where nobody lived long enough to save
            time.sleep(0.001)
        time.sleep(choose.uniform(0, 0.15))
        os.kill(number, signal.SIGKILL)
        _, status = os.waitpid(number, 0)
        assert os.WIFSIGNALED(status)
    epochs = read_checkpoint(path).history.epochs + 2
    left = [entry.name for entry in path.parent.iterdir() if entry != path]
    resumed = train(epochs, path)
    now_left = [entry.name for entry in path.parent.iterdir() if entry != path]
    print(json.dumps([epochs, resumed, train(epochs, None), len(left), now_left]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("backend", ["numpy", CPU_BACKEND])
@pytest.mark.parametrize("kills", exhaustive_but([4], [4, 50]))
def test_killed_at_random_moments(backend: str, kills: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), backend, tmp_path / "training", str(kills),
         "20261126"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    epochs, resumed, expected, left, left_at_the_end = json.loads(done.stdout.splitlines()[-1])
    assert epochs >= 2
    assert resumed == expected
    assert left <= 1  # what the last one was writing
    assert left_at_the_end == []
