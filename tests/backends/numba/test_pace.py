"""How many threads steps are given, by the times that they took: on a machine that is made up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.backends.numba import runner
from fastnn.backends.numba.pace import Pace
from fastnn.backends.stop import Stop
from tests.helpers.compiled_networks import use_threads
from tests.helpers.compiled_training import compiled, data_set, plan_of


def run(
    pace: Pace, seconds: float, time_of_a_step: Callable[[int], float]
) -> list[tuple[int, float]]:
    """Run pieces for some time; give the threads of each, and how long it took."""
    pieces: list[tuple[int, float]] = []
    while sum(spent for _, spent in pieces) < seconds:
        threads, steps = pace.next()
        step = time_of_a_step(threads)
        pieces.append((threads, step * (steps or 100)))
        pace.took(threads, step)
    return pieces


def quiet(threads: int) -> float:
    return 100e-6 / threads


def busy(threads: int) -> float:
    """Another process on one of the cores: who has to wait for it takes three times as long."""
    return 100e-6 if threads == 1 else 320e-6


def share_of_time(pieces: list[tuple[int, float]], threads: int) -> float:
    return sum(spent for count, spent in pieces if count == threads) / sum(s for _, s in pieces)


def test_one_thread_runs_all_steps_at_once() -> None:
    pace = Pace(1)
    assert pace.next() == (1, None)
    pace.took(1, 1.0)
    assert pace.next() == (1, None)
    assert pace.seconds == 1.0


@pytest.mark.parametrize("most", [2, 3, 8, 13])
def test_on_a_quiet_machine_all_threads_run_nearly_always(most: int) -> None:
    pace = Pace(most)
    pieces = run(pace, 5.0, quiet)
    assert pace.threads == most
    assert share_of_time(pieces, most) > 0.99


@pytest.mark.parametrize("most", [2, 3, 8])
def test_on_a_busy_machine_one_thread_runs_nearly_always(most: int) -> None:
    pace = Pace(most)
    pieces = run(pace, 5.0, busy)
    assert pace.threads == 1
    steps = sum(spent / busy(threads) for threads, spent in pieces)
    assert sum(spent for _, spent in pieces) / steps < 1.05 * busy(1)


def test_it_follows_a_process_that_comes_and_goes() -> None:
    pace = Pace(4)
    run(pace, 1.0, quiet)
    assert pace.threads == 4
    for _ in range(3):
        assert share_of_time(run(pace, 2.0, busy), 1) > 0.8
        assert pace.threads == 1
        run(pace, 2.0, quiet)
        assert pace.threads == 4


def test_the_number_between_is_found() -> None:
    pace = Pace(8)
    pieces = run(pace, 5.0, lambda threads: 100e-6 / threads if threads <= 4 else 90e-6)
    assert pace.threads == 4
    assert share_of_time(pieces, 4) > 0.9


def test_one_slow_piece_is_no_reason_to_stay_on_fewer_threads() -> None:
    pace = Pace(2)
    run(pace, 0.5, quiet)
    pace.took(2, 10 * quiet(2))
    run(pace, 0.5, quiet)
    assert pace.threads == 2


def test_threads_that_are_not_to_be_had_are_not_tried() -> None:
    pace = Pace(8)
    run(pace, 0.2, quiet)
    pace.allow(3)
    pieces = run(pace, 3.0, quiet)
    assert {threads for threads, _ in pieces} <= {1, 3}
    assert pace.threads == 3


class InTurn(Pace):
    """Gives each number of threads in turn three steps."""

    def next(self) -> tuple[int, int | None]:
        self.pieces = getattr(self, "pieces", 0) + 1
        return 1 + self.pieces % self._most, 3


def test_the_bits_do_not_depend_on_threads_that_change(monkeypatch: pytest.MonkeyPatch) -> None:
    use_threads(monkeypatch, 3)
    sizes = (30, 70, 20, 3)
    x, t = data_set(100, sizes[0], sizes[-1], density=0.2)
    results = []
    for kind in (Pace, InTurn):
        monkeypatch.setattr(runner, "Pace", kind)
        plan = plan_of(sizes, x, t, 30, "float32", "numba")
        step = compiled(plan)
        assert step.threads == 3
        losses = step.run(np.arange(20 * 30).reshape(20, 30) % 100, {"lr": 0.1})
        step.flush()
        assert losses.shape == (20,)
        results.append([losses, *(plan.arrays[name] for name in sorted(plan.arrays))])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("asked_before", [True, False])
def test_no_piece_follows_a_request_to_stop(
    asked_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_threads(monkeypatch, 2)
    stop = Stop()

    class Asking(InTurn):
        def took(self, threads: int, seconds: float) -> None:
            super().took(threads, seconds)
            stop.request()

    monkeypatch.setattr(runner, "Pace", Asking)
    x, t = data_set(100, 30, 3, density=0.2)
    step = compiled(plan_of((30, 20, 3), x, t, 30, "float32", "numba"))
    if asked_before:
        stop.request()
    losses = step.run(np.arange(20 * 30).reshape(20, 30) % 100, {"lr": 0.1}, stop)
    assert len(losses) == (1 if asked_before else 3)
