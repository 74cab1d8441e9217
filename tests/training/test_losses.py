"""Losses stay on the device until they are flushed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.backends.numpy import NumpyBackend
from fastnn.training.history import FLUSH_SECONDS, History, LossQueue


class Device(NumpyBackend):
    """A device that takes `pace` seconds a step, and 1 ms to queue some."""

    steps_at_once = 32

    def __init__(self, pace: float) -> None:
        self.pace, self.now, self.done = pace, 0.0, 0.0
        self.flushes: list[float] = []
        self.compiled = 0.0

    def seconds_compiling(self) -> float:
        return self.compiled

    def queue(self, steps: int) -> Any:
        self.now += 0.001
        self.done = max(self.done, self.now) + steps * self.pace
        return np.full(steps, self.now)

    def to_numpy(self, array: Any) -> Any:
        self.now = max(self.now, self.done)
        self.flushes.append(self.now)
        return array


class Bar:
    seen = 0

    def update(self, steps: int, loss: float) -> None:
        self.seen += steps


@pytest.mark.parametrize("pace", [1e-6, 1e-5, 1e-4, 3e-3, 1e-2])
@pytest.mark.parametrize("epoch", [20, 600, 10**5])
def test_flushes_are_far_apart(pace: float, epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    device, history, bar = Device(pace), History(), Bar()
    monkeypatch.setattr("fastnn.training.history.time.perf_counter", lambda: device.now)
    queue = LossQueue(device, history, bar)
    total = 0
    while device.now < 4:
        history.epoch_seconds.append(0.0)
        history.epoch_steps.append(0)
        done = 0
        while done < epoch and device.now < 4:
            steps = min(queue.steps_at_once, epoch - done)
            queue.add(device.queue(steps), 10)
            done += steps
            total += steps
    queue.flush()
    assert len(history.losses) == total == bar.seen
    assert history.samples == 10 * total
    assert history.losses == sorted(history.losses)
    assert history.seconds == pytest.approx(device.now)
    learned = [flush for flush in device.flushes if flush > 1]
    if pace < 3e-3:
        apart = np.diff(learned[:-1])
        assert apart.min() >= FLUSH_SECONDS - 1e-9
    assert np.diff(device.flushes).max() <= max(4 * FLUSH_SECONDS, 2 * 32 * pace)


def test_what_was_not_training_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    device, history = Device(0.01), History(epoch_seconds=[0.0], epoch_steps=[0])
    monkeypatch.setattr("fastnn.training.history.time.perf_counter", lambda: device.now)
    queue = LossQueue(device, history, None)
    device.now = 7.0
    queue.resume()
    queue.add(device.queue(32), 1)
    queue.flush()
    assert history.seconds == pytest.approx(0.321)
    queue.flush()
    assert len(history.losses) == 32


def test_compiling_is_not_training(monkeypatch: pytest.MonkeyPatch) -> None:
    device, history = Device(0.01), History(epoch_seconds=[0.0], epoch_steps=[0])
    device.compiled = 3.0  # before fit
    monkeypatch.setattr("fastnn.training.history.time.perf_counter", lambda: device.now)
    queue = LossQueue(device, history, None)
    losses = device.queue(32)
    device.now += 20.0
    device.done += 20.0
    device.compiled += 20.0
    queue.add(losses, 1)
    queue.flush()
    assert history.seconds == pytest.approx(0.321)
    assert history.compile_seconds == pytest.approx(20.0)
    assert queue.steps_at_once == 32
