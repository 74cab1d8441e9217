"""How messages name values and things: in a line, and never with an error of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.wording import a_kind, shown


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no name")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "3"),
        ("a", "'a'"),
        (None, "None"),
        (np.True_, "np.True_"),
        (bytearray(b"1"), "bytearray(b'1')"),
        (10**400, f"1{'0' * 27}...{'0' * 29} (about 401 digits)"),
        (10**5000, "an integer of about 5001 digits"),
        (-(10**5000), "a negative integer of about 5001 digits"),
    ],
    ids=shown,
)
def test_values(value: Any, words: str) -> None:
    assert shown(value) == words


def test_values_that_python_does_not_write() -> None:
    assert "Unspeakable" in shown(Unspeakable())
    for value in ([10**5000], {10**5000: 1}, [Unspeakable()], np.array([Unspeakable()], object)):
        assert 0 < len(shown(value)) < 100


def test_long_values_are_cut() -> None:
    for value in ("a" * 10**6, list(range(10**6)), np.arange(10**6).reshape(-1, 4), {0: "a" * 999}):
        assert len(shown(value)) < 100
        assert "\n" not in shown(value)


def test_things() -> None:
    assert a_kind(np.ones((2, 3))) == "a numpy.ndarray of shape (2, 3)"
    assert a_kind([1]) == "a list"
    assert a_kind(object()) == "an object"
