"""Learning rates as functions of the step."""

from __future__ import annotations

import copy
import math
import pickle
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from fastnn.nn.schedules import Constant, Cosine, Schedule, StepDecay, Warmup, check_lr, rates
from fastnn.wording import shown

SCHEDULES: list[Any] = [
    Constant(0.1),
    StepDecay(0.3, every=4, factor=0.5),
    Cosine(0.2, steps=10, final=0.01),
    Warmup(3, then=0.3),
    Warmup(3, then=Cosine(0.2, steps=10)),
]


def first(schedule: Schedule, count: int) -> list[float]:
    return [schedule(step) for step in range(count)]


def test_constant() -> None:
    assert first(Constant(0.1), 3) == [0.1, 0.1, 0.1]


def test_step_decay() -> None:
    assert first(StepDecay(1, 2, 0.5), 7) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert first(StepDecay(0.5, 1, 1), 3) == [0.5] * 3
    assert first(StepDecay(0.5, 2, 0), 3) == [0.5, 0.5, 0]
    assert StepDecay(0.5, 3)(3) == pytest.approx(0.05)
    assert StepDecay(0.5, 1)(10**9) == 0


def test_cosine_goes_from_the_rate_to_the_final_one() -> None:
    schedule = Cosine(0.3, 4, final=0.1)
    expected = [0.2 + 0.1 * math.cos(angle) for angle in np.linspace(0, math.pi, 5)]
    assert first(schedule, 5) == pytest.approx(expected, rel=1e-15)
    assert schedule(0) == 0.3
    assert schedule(4) == schedule(5) == schedule(10**12) == 0.1
    assert Cosine(0.3, 4)(2) == pytest.approx(0.15)
    assert Cosine(0.3, 1)(1) == 0
    assert Cosine(0.1, 2, final=0.3)(1) == pytest.approx(0.2)


def test_warmup_rises_to_the_first_rate_of_what_follows() -> None:
    assert first(Warmup(4, 0.8), 6) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rel=1e-15)
    then = StepDecay(1, 2, 0.5)
    assert first(Warmup(2, then), 6) == [0.5, 1, 1, 1, 0.5, 0.5]
    assert first(Warmup(2, lambda step: 10.0 + step), 5) == [5, 10, 10, 11, 12]
    assert first(Warmup(0, then), 4) == first(then, 4)
    assert first(Warmup(1, then), 4) == [1, *first(then, 3)]
    assert first(Warmup(2, Warmup(2, 1.0)), 5) == [0.25, 0.5, 0.5, 1, 1]


def test_pytorch_gives_the_same() -> None:
    torch = pytest.importorskip("torch")
    schedulers = torch.optim.lr_scheduler

    def of_torch(make: Any, count: int) -> list[float]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
        schedule, found = make(optimizer), []
        for _ in range(count):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    decay = of_torch(lambda optimizer: schedulers.StepLR(optimizer, 3, 0.7), 12)
    assert first(StepDecay(0.3, 3, 0.7), 12) == pytest.approx(decay, rel=1e-13)
    cosine = of_torch(lambda optimizer: schedulers.CosineAnnealingLR(optimizer, 9, 0.02), 10)
    assert first(Cosine(0.3, 9, 0.02), 10) == pytest.approx(cosine, rel=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_many_steps_at_once_are_the_steps_one_by_one(schedule: Any) -> None:
    found = rates(schedule, 2, 11)
    np.testing.assert_array_equal(np.broadcast_to(found, 11), first(schedule, 13)[2:])
    if isinstance(schedule, Constant):
        assert type(found) is float
    else:
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float64
        assert rates(schedule, 7, 0).shape == (0,)  # type: ignore[union-attr]


def test_a_number_is_the_same_at_every_step() -> None:
    assert rates(0.25, 5, 3) == 0.25


def test_functions_of_the_users_own_may_give_any_real_number() -> None:
    given: dict[int, Any] = {
        0: 1, 1: np.float32(0.5), 2: np.array(0.25), 3: Decimal("0.5"), 4: 0, 5: -0.0,
    }  # fmt: skip
    asked = []

    def schedule(step: int) -> Any:
        asked.append((type(step), step))
        return given[step]

    np.testing.assert_array_equal(rates(schedule, 0, 6), [1, 0.5, 0.25, 0.5, 0, 0])
    assert asked == [(int, step) for step in range(6)]


@pytest.mark.parametrize(
    ("rate", "error"),
    [
        (math.nan, ValueError), (math.inf, ValueError), (-0.1, ValueError), (10**400, ValueError),
        (None, TypeError), ("0.1", TypeError), (True, TypeError), (1j, TypeError),
        (np.ones(1), TypeError),
    ],
    ids=shown,
)  # fmt: skip
def test_functions_that_give_no_rate(rate: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="lr at step 7 must be") as caught:
        rates(lambda step: rate if step == 7 else 0.1, 5, 4)
    assert f", got {shown(rate)}" in str(caught.value)
    with pytest.raises(error, match="then at step 0 must be"):
        Warmup(3, lambda step: rate)(1)
    with pytest.raises(error, match="then at step 7 must be"):
        Warmup(3, lambda step: rate if step == 7 else 0.1)(10)


def test_what_a_function_raises_is_seen() -> None:
    with pytest.raises(ZeroDivisionError):
        rates(lambda step: 1 / step, 0, 2)


REFUSED: dict[str, tuple[Any, list[Any], type[Exception], str]] = {
    "no rate": (Constant, ["a"], TypeError, "lr must be a real number, got 'a'"),
    "negative": (StepDecay, [-1, 2], ValueError, "lr must be .* not negative"),
    "NaN": (Cosine, [math.nan, 2], ValueError, "lr must be finite"),
    "every 0": (StepDecay, [0.1, 0], ValueError, "every must be at least 1, got 0"),
    "every half": (StepDecay, [0.1, 0.5], TypeError, "every must be an integer, got 0.5"),
    "growing": (StepDecay, [0.1, 2, 1.5], ValueError, "factor must be from 0 to 1, got 1.5"),
    "factor": (StepDecay, [0.1, 2, -0.5], ValueError, "factor must be finite and not negative"),
    "no steps": (Cosine, [0.1, 0], ValueError, "steps must be at least 1, got 0"),
    "final": (Cosine, [0.1, 2, math.inf], ValueError, "final must be finite .* got inf"),
    "steps": (Warmup, [-1, 0.1], ValueError, "steps must be at least 0, got -1"),
    "nothing then": (Warmup, [2, None], TypeError, "then must be a real number, got None"),
    "a class": (Warmup, [2, Cosine], TypeError, r"the class Cosine: .*then=Cosine\(...\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_schedules_that_are_refused(case: str) -> None:
    schedule, values, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        schedule(*values)


def test_what_may_be_a_learning_rate() -> None:
    schedule = Cosine(0.1, 5)
    assert check_lr(schedule) is schedule
    rate = check_lr(np.float32(0.5))
    assert rate == 0.5
    assert type(rate) is float
    with pytest.raises(TypeError, match="lr must be a real number or a function of the step"):
        check_lr(StepDecay)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_copies_and_pickles_are_equal(schedule: Any) -> None:
    for twin in (
        copy.copy(schedule),
        copy.deepcopy(schedule),
        pickle.loads(pickle.dumps(schedule)),
    ):
        assert twin == schedule
        assert hash(twin) == hash(schedule)
    with pytest.raises(AttributeError):
        schedule.steps = 3


def test_how_they_are_shown() -> None:
    assert repr(Warmup(3, Cosine(1, 9))) == (
        "Warmup(steps=3, then=Cosine(lr=1.0, steps=9, final=0.0))"
    )
