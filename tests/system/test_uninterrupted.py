"""Ctrl-C held back, and what it does afterwards."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fastnn.system.uninterrupted import let_interruption_through, uninterrupted

pytestmark = pytest.mark.usefixtures("python_handles_ctrl_c")


@pytest.fixture
def presses(python_handles_ctrl_c: None) -> Iterator[list[int]]:
    """Those that a handler of the user's own has heard of."""
    heard: list[int] = []

    def handler(number: int, frame: Any) -> None:
        heard.append(number)

    signal.signal(signal.SIGINT, handler)
    yield heard
    assert signal.getsignal(signal.SIGINT) is handler


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_it_comes_when_the_body_has_ended() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - what is still done is the point
        with uninterrupted():
            press()
            done.append(1)
        done.append(2)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_every_press_reaches_the_handler_that_was_there(presses: list[int]) -> None:
    with uninterrupted():
        with uninterrupted():
            press()
        press()
        assert presses == []
    assert presses == [signal.SIGINT] * 2


def test_an_exception_of_the_body_goes_on() -> None:
    with pytest.raises(ValueError, match="of the body"), uninterrupted():
        raise ValueError("of the body")
    with pytest.raises(KeyboardInterrupt) as caught, uninterrupted():  # noqa: PT012 - as above
        press()
        raise ValueError("of the body")
    assert isinstance(caught.value.__context__, ValueError)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_is_let_through_where_that_is_asked_for(presses: list[int]) -> None:
    let_interruption_through()
    with uninterrupted():
        let_interruption_through()
        press()
        let_interruption_through()
        assert len(presses) == 1
        press()
        assert len(presses) == 1
    assert len(presses) == 2


def test_python_raises_where_it_is_let_through() -> None:
    with pytest.raises(KeyboardInterrupt), uninterrupted(), uninterrupted():  # noqa: PT012
        press()
        let_interruption_through()
        pytest.fail("it goes on")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_system_that_handles_it_is_left_alone(handler: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, handler)
    with uninterrupted():
        assert signal.getsignal(signal.SIGINT) is handler


def test_other_threads_change_nothing(presses: list[int]) -> None:
    def body() -> None:
        with uninterrupted():
            found.append(signal.getsignal(signal.SIGINT))
            let_interruption_through()

    found: list[Any] = []
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
