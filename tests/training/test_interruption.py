"""Ctrl-C while training: what it leaves is whole steps, and a history of just these."""

from __future__ import annotations

import itertools
import random
import signal
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, History, Sequential, fit
from fastnn.backends import Backend
from fastnn.backends.numba import runner as numba_runner
from fastnn.backends.numba.team import run_together
from fastnn.training.interruption import Interruption
from fastnn.training.session import Session
from tests.helpers.networks import parameters, small
from tests.helpers.problems import Batch

MAIN_THREAD = threading.main_thread().ident or 0


def press_ctrl_c() -> None:
    """On the thread that it is called on, where the signal is when this returns."""
    signal.raise_signal(signal.SIGINT)


def press_ctrl_c_from_outside() -> None:
    """On the main thread, which it wakes if it waits, and which has it at its next system call.

    On Windows on this one, as a console does: Python handles it on the main thread all the same.
    """
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGINT)
    else:
        signal.pthread_kill(MAIN_THREAD, signal.SIGINT)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_ctrl_c_ends_between_two_steps(backend: Backend) -> None:
    large = Batch(4000, 12, 4)
    network = small()
    timer = threading.Timer(0.05, press_ctrl_c_from_outside)

    def start_timer(network: Sequential, history: History) -> None:
        if history.epochs == 1:
            timer.start()

    history = fit(
        network, large.x, large.t, epochs=10**6, batch_size=10, seed=4, progress=False,
        callbacks=[start_timer],
    )  # fmt: skip
    timer.join()
    assert history.interrupted
    assert history.samples == 10 * len(history.losses) > 0
    assert history.epochs == len(history.losses) // 400
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    # The history is that of the steps that were taken.
    with fastnn.use_backend("numpy"):
        twin = small(dtype="float64")
    steps = min(len(history.losses), 300)
    order = np.random.default_rng(4).permutation(4000)
    expected = []
    for i in range(steps):
        some = order[10 * i : 10 * i + 10]
        expected.append(twin.loss(large.x[some], large.t[some]))
        SGD(0.1).update(twin.params, twin.gradient(large.x[some], large.t[some]))
    np.testing.assert_allclose(history.losses[:steps], expected, rtol=1e-3)
    network.gradient(large.x[:5], large.t[:5])


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_a_second_ctrl_c_cuts_a_callback_short(backend: Backend, data: Batch) -> None:
    histories: list[History] = []

    def twice(network: Sequential, history: History) -> None:
        histories.append(history)
        press_ctrl_c()
        time.sleep(0.01)
        assert not history.interrupted
        press_ctrl_c()
        time.sleep(5)
        pytest.fail("it goes on")

    network = small()
    with pytest.raises(KeyboardInterrupt):
        fit(network, data.x, data.t, epochs=9, callbacks=[twice], batch_size=10, progress=False)
    assert histories[0].interrupted
    assert histories[0].epochs == 1
    assert len(histories[0].losses) == 6
    network.gradient(data.x, data.t)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_keyboard_interrupt_from_a_callback(backend: Backend, data: Batch) -> None:
    def stop(network: Sequential, history: History) -> None:
        raise KeyboardInterrupt

    network = small()
    history = fit(network, data.x, data.t, epochs=9, callbacks=[stop], batch_size=10,
                  progress=False)  # fmt: skip
    assert history.interrupted
    assert len(history.losses) == 6
    network.gradient(data.x, data.t)


def test_signals_of_the_users_own_are_left_alone(data: Batch) -> None:
    def handler(number: int, frame: Any) -> None:
        caught.append(number)

    caught: list[int] = []
    before = signal.signal(signal.SIGINT, handler)
    try:
        history = fit(
            small(), data.x, data.t, epochs=2, batch_size=10, progress=False,
            callbacks=[lambda network, history: press_ctrl_c()],
        )  # fmt: skip
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught == [signal.SIGINT] * 2
    assert history.epochs == 2


class Pressed:
    """Ctrl-C pressed from another thread, at given times from the first step of a `fit` on.

    Only between `fit` taking the signal over and giving it back to Python: what comes before or
    later is none of `fit`, and would raise in the middle of a test.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
        self._pauses = pauses
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._press)
        take_over, give_back = Interruption.take_over, Interruption.give_back

        def take_over_and_begin(interruption: Interruption) -> None:
            take_over(interruption)
            if self._thread.ident is None:
                self._thread.start()

        def end_and_give_back(interruption: Interruption) -> None:
            self._over.set()
            self._thread.join()
            time.sleep(0.001)  # a system call, so that what was sent has arrived
            give_back(interruption)

        monkeypatch.setattr(Interruption, "take_over", take_over_and_begin)
        monkeypatch.setattr(Interruption, "give_back", end_and_give_back)

    def _press(self) -> None:
        for pause in self._pauses:
            if self._over.wait(pause):
                return
            press_ctrl_c_from_outside()


def steps_of(network: Sequential, x: Any, t: Any, order: Any, sizes: list[int]) -> None:
    """Take just these steps, as `fit` does, in calls of as many as have one size."""
    backend = network.backend
    half = Session(network, backend.asarray(x), backend.asarray(t), SGD(0.1), 10, 1.0)
    rows, place = order.permutation(len(x)), 0
    for size, some in itertools.groupby(sizes):
        count = len(list(some))
        if place == len(x):
            rows, place = order.permutation(len(x)), 0
        batches = rows[place : place + count * size].reshape(count, size)
        half.runner.run(backend.asarray(batches), {"lr": 0.1})
        place += count * size
    half.runner.flush()


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize("threads", [1, 2])
def test_what_signals_at_any_time_leave_is_whole(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    if threads > 1 and backend.name != "numba":
        pytest.skip("this backend knows of no threads")
    monkeypatch.setattr(numba_runner, "threads_for", lambda *_: threads)
    large, dice = Batch(20_003, 12, 4), random.Random(threads)
    steps = 2001
    for _ in range(10):
        pauses = [0.1 * dice.random(), *(dice.choice([0.0005, 0.002, 0.01]) for _ in range(3))]
        network = small()
        with monkeypatch.context() as patch:
            Pressed(patch, pauses)
            try:
                history = fit(
                    network, large.x, large.t, epochs=10**6, batch_size=10, seed=4, progress=False,
                    validation=(large.x[:100], large.t[:100]) if dice.random() < 0.5 else None,
                    callbacks=[lambda network, history: None],
                )  # fmt: skip
            except KeyboardInterrupt as error:
                history = error.history  # type: ignore[attr-defined]
        taken = len(history.losses)
        sizes = [3 if i % steps == steps - 1 else 10 for i in range(taken)]
        assert history.interrupted
        assert history.samples == sum(sizes)
        assert history.epochs == taken // steps
        assert len(history.epoch_seconds) == -(-taken // steps)
        assert len(history.train_accuracies) == len(history.validation_accuracies)
        twin = small()
        steps_of(twin, large.x, large.t, np.random.default_rng(4), sizes)
        for name, array in parameters(twin).items():
            np.testing.assert_array_equal(parameters(network)[name], array)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_the_second_one_stops_within_a_step(backend: Backend, monkeypatch: Any) -> None:
    """Hundreds of thousands of steps are one call to the runner, which two signals end."""
    if backend.name in ("cupy", "strict"):
        pytest.skip("a call is of few steps")
    large = Batch(200_000, 12, 4)
    monkeypatch.setattr(type(backend), "steps_at_once", 200_000)
    Pressed(monkeypatch, [0.05, 0.02])
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(small(), large.x, large.t, batch_size=1, epochs=50, seed=4, progress=False)
    history = caught.value.history  # type: ignore[attr-defined]
    assert 0 < len(history.losses) == history.samples < 50 * 200_000
    assert time.perf_counter() - began < 60


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_a_callback_that_swallows_it_ends_training_all_the_same(data: Batch) -> None:
    def swallow(network: Sequential, history: History) -> None:
        for _ in range(3):
            try:
                press_ctrl_c()
                time.sleep(0.01)
            except KeyboardInterrupt:
                caught.append(1)

    def never(network: Sequential, history: History) -> None:
        pytest.fail("it is called")

    caught: list[int] = []
    with pytest.raises(KeyboardInterrupt) as error:
        fit(small(), data.x, data.t, epochs=3, batch_size=10, callbacks=[swallow, never],
            progress=False)  # fmt: skip
    assert caught == [1, 1]
    assert error.value.history.epochs == 1  # type: ignore[attr-defined]


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_an_evaluation_that_is_cut_short_leaves_no_half(backend: Backend, data: Batch) -> None:
    class Slow(fastnn.TwoLayerNet):
        def accuracy(self, x: object, t: object) -> float:
            if len(seen) == 1:
                press_ctrl_c()
                press_ctrl_c()
                time.sleep(5)
                pytest.fail("it goes on")
            if training_has_begun:
                seen.append(1)
            return super().accuracy(x, t)

    seen: list[int] = []
    training_has_begun: list[int] = []
    network = Slow(12, 6, 4, 0.5, seed=3)

    class Beginning(SGD):
        def hyperparameters(self) -> dict[str, float]:
            training_has_begun.append(1)
            return super().hyperparameters()

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(network, data.x, data.t, validation=(data.x, data.t), optimizer=Beginning(0.1),
            batch_size=10, progress=False)  # fmt: skip
    history = caught.value.history  # type: ignore[attr-defined]
    assert history.train_accuracies == history.validation_accuracies == []
    assert history.epochs == 1


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_a_fit_within_a_callback(backend: Backend, data: Batch) -> None:
    """The inner one is ended by a whole step, too, and the outer one with it."""
    inner = small()
    found: list[History] = []

    def twice(network: Sequential, history: History) -> None:
        press_ctrl_c()
        press_ctrl_c()

    def train_another(network: Sequential, history: History) -> None:
        try:
            fit(
                inner, data.x, data.t, epochs=10**6, batch_size=10, progress=False,
                callbacks=[twice],
            )  # fmt: skip
        except KeyboardInterrupt as error:
            found.append(error.history)  # type: ignore[attr-defined]
            raise

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(small(), data.x, data.t, epochs=9, batch_size=10, callbacks=[train_another],
            progress=False)  # fmt: skip
    assert found[0].epochs == 1
    assert len(found[0].losses) == 6
    assert caught.value.history.epochs == 1  # type: ignore[attr-defined]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_a_handler_that_a_callback_installs_stays(backend: Backend, data: Batch) -> None:
    def handler(number: int, frame: Any) -> None:
        caught.append(number)

    def install(network: Sequential, history: History) -> None:
        if history.epochs == 1:
            signal.signal(signal.SIGINT, handler)
        press_ctrl_c()

    caught: list[int] = []
    history = fit(small(), data.x, data.t, epochs=3, batch_size=10, callbacks=[install],
                  progress=False)  # fmt: skip
    assert signal.getsignal(signal.SIGINT) is handler
    assert caught == [signal.SIGINT] * 3
    assert history.epochs == 3
    assert not history.interrupted


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_pythons_own_handler_from_a_callback_is_taken_over_again(data: Batch) -> None:
    def reset(network: Sequential, history: History) -> None:
        if history.epochs == 1:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        else:
            press_ctrl_c()

    history = fit(small(), data.x, data.t, epochs=9, batch_size=10, callbacks=[reset],
                  progress=False)  # fmt: skip
    assert history.interrupted
    assert history.epochs == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("here", [True, False])
def test_threads_end_before_an_exception_of_a_handler_goes_on(
    here: bool, python_handles_ctrl_c: None
) -> None:
    running, ended = threading.Barrier(3), []

    def job(thread: int) -> None:
        running.wait(30)
        if thread == 1:
            press_ctrl_c_from_outside()
        time.sleep(0.2)
        ended.append(thread)

    with pytest.raises(KeyboardInterrupt):
        run_together(job, 3, lambda: None, here=here)
    assert sorted(ended) == [0, 1, 2] or (here and sorted(ended) == [1, 2])
