"""What `fastnn check` compares of the optimizers."""

from __future__ import annotations

from typing import Any

import pytest

import fastnn
from fastnn.backends import Backend, selection
from fastnn.diagnostics.every_rule import check_every_rule
from fastnn.nn.optimizer import Descent

EVERYTHING = "decay, penalty and clipping"


@pytest.mark.exhaustive
def test_every_rule_is_checked_on_every_engine(backend: Backend) -> None:
    check_every_rule_on(backend.name)


def test_every_rule_is_checked() -> None:
    check_every_rule_on("numpy")


def check_every_rule_on(engine: str) -> None:
    comparisons = check_every_rule([engine])
    wrong = [c for c in comparisons if not c.passed]
    assert not wrong
    found = [getattr(fastnn, name) for name in fastnn.__all__]
    rules = {
        f"steps of {one.__name__}"
        for one in found
        if isinstance(one, type) and issubclass(one, Descent) and one is not Descent
    }
    all_of_it = {f"steps of {name}, {EVERYTHING}" for name in ("SGD", "AdamW")}
    assert {c.part for c in comparisons} == rules | all_of_it
    assert {c.backend for c in comparisons} == {engine}
    assert {c.dtype for c in comparisons} == {"float32", "float64"}
    assert {c.quantity for c in comparisons} == {"W1", "b1", "W2", "b2"}


@pytest.mark.parametrize(
    ("primitive", "number", "rules"),
    [
        ("rmsprop_update", "lr", {"RMSprop"}),
        ("decay_weights", "lr", {"AdamW", f"AdamW, {EVERYTHING}"}),
        ("decayed_gradient", "weight_decay", {f"SGD, {EVERYTHING}", f"AdamW, {EVERYTHING}"}),
        ("clip_factor", "clip_norm", {f"SGD, {EVERYTHING}", f"AdamW, {EVERYTHING}"}),
    ],
)
def test_a_fault_is_found(
    primitive: str, number: str, rules: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A primitive of one engine takes another number than it is told."""
    monkeypatch.setitem(selection.REGISTRY, "strict", "tests.helpers.strict_backend:StrictBackend")
    engine = type(selection.load_backend("strict"))
    right = getattr(engine, primitive)

    def wrong(*arguments: Any, **options: Any) -> Any:
        return right(*arguments, **{**options, number: 1.01 * options[number]})

    monkeypatch.setattr(engine, primitive, wrong)
    wrong_parts = {c.part for c in check_every_rule(["strict"]) if not c.passed}
    assert wrong_parts == {f"steps of {name}" for name in rules}
