"""Words on a standard stream that is there, gone, full or somebody's own."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastnn.errors import TrainingWarning
from fastnn.system.standard_streams import QuietStream, say, warn


class Own:
    def write(self, text: str) -> int:
        raise ArithmeticError(text)

    def flush(self) -> None:
        raise ArithmeticError


def closed() -> Any:
    stream = io.StringIO()
    stream.close()
    return stream


def full() -> Any:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    return Path("/dev/full").open("w", encoding="utf-8")


def broken_pipe() -> Any:
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w", buffering=1)


BROKEN: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "closed": closed,
    "full": full,
    "a broken pipe": broken_pipe,
    "of bytes": io.BytesIO,
    "no stream": object,
    "somebody's own": Own,
}


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest) -> Any:
    stream = BROKEN[request.param]()
    yield stream
    if hasattr(stream, "fileno") and not stream.closed:
        try:
            stream.close()
        except OSError:  # what it still holds cannot be written
            assert stream.closed


def test_words_on_a_stream_that_works() -> None:
    stream = io.StringIO()
    assert say("a line", stream)
    assert stream.getvalue() == "a line\n"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "für データ \\udcff"),
        ("cp1252", "für \\u30c7\\u30fc\\u30bf \\udcff"),
        ("ascii", "f\\xfcr \\u30c7\\u30fc\\u30bf \\udcff"),
    ],
)
def test_characters_that_a_stream_does_not_have(encoding: str, shown: str) -> None:
    """The last is what a file's name has where its bytes are no text."""
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding, newline="\n")
    assert say("für データ \udcff", stream)
    assert written.getvalue().decode(encoding) == f"{shown}\n"


def test_words_on_one_that_does_not(broken: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert not say("a line", broken)
    assert capsys.readouterr() == ("", "")


def test_a_warning_that_cannot_be_shown(broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def show(message: Warning, *_: Any, **__: Any) -> None:
        tried.append(str(message))
        print(message, file=broken, flush=True)
        broken.flush()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", show)
        warn("the loss has not moved", TrainingWarning)
    assert tried == ["the loss has not moved"]


def test_a_warning_points_to_the_line_that_called() -> None:
    with pytest.warns(TrainingWarning, match="has not moved") as found:
        warn("the loss has not moved", TrainingWarning)
    assert [warning.filename for warning in found] == [__file__]


def test_where_warnings_are_errors_it_raises() -> None:
    with pytest.raises(TrainingWarning, match="has not moved"):
        warn("the loss has not moved", TrainingWarning)


def test_a_stream_that_stops_working_is_left_alone() -> None:
    class Counting(Own):
        tries = 0

        def write(self, text: str) -> int:
            self.tries += 1
            if self.tries > 2:
                raise ArithmeticError(text)
            return len(text)

    stream = Counting()
    quiet = QuietStream(stream)
    assert [quiet.write("words") for _ in range(5)] == [5] * 5
    quiet.flush()
    assert stream.tries == 3
    assert quiet.tries == 3
    assert quiet == stream == QuietStream(stream)
    assert quiet != QuietStream(Counting())
    assert hash(quiet) == hash(stream)
