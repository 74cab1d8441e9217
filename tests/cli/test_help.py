"""What ``fastnn --help`` says is read as it was written, on a terminal of 80 columns."""

from __future__ import annotations

import inspect
import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from typer.models import OptionInfo

from fastnn import cli
from tests.helpers.command import run

COLUMNS = 80
VERBS = {
    "Check", "Compare", "Compute", "Cut", "Draw", "Drop", "Give", "Go", "Keep", "Let", "Measure",
    "Normalise", "Print", "Read", "Run", "Set", "Show", "Take", "Tell", "Train", "Use", "Write",
}  # fmt: skip
COMMANDS = [command.callback for command in cli.app.registered_commands if command.callback]


def paragraphs(text: str) -> list[list[str]]:
    """Give the lines of the paragraphs above the boxes with options."""
    above = itertools.takewhile(lambda line: "─" not in line, text.splitlines())
    lines = [line.strip() for line in above]
    return [list(part) for is_text, part in itertools.groupby(lines, bool) if is_text]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))


def test_every_command_is_seen() -> None:
    assert {command.__name__ for command in COMMANDS} == {
        "train", "check", "info", "predict", "report", "bench", "warmup",
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_help_reads_as_sentences(command: Callable[..., Any]) -> None:
    text = run(command.__name__, "--help").stdout
    assert max(map(len, text.splitlines())) <= COLUMNS
    _usage, *shown = paragraphs(text)
    written = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    assert [" ".join(lines) for lines in shown] == [" ".join(one.split()) for one in written]
    for lines in shown:
        for line, following in itertools.pairwise(lines):
            # A line ends where the next word has no room, and not where the source's line ends.
            assert len(f" {line} {following.split()[0]} ") > COLUMNS, line
    assert "None" not in text


def test_options_read_as_sentences() -> None:
    """Each says what the command does by it, or prints."""
    said = {
        (command.__name__, parameter): option.help
        for command in COMMANDS
        for parameter, hint in get_type_hints(command, include_extras=True).items()
        for option in getattr(hint, "__metadata__", ())
        if isinstance(option, OptionInfo)
    }
    assert len(said) > 40
    for where, text in said.items():
        assert text is not None, where
        assert text.split()[0].rstrip(",") in VERBS, (where, text)
        assert text.endswith("."), (where, text)


def test_help_of_all_commands() -> None:
    text = run("--help").stdout
    assert max(map(len, text.splitlines())) <= COLUMNS
    for command in COMMANDS:
        first = inspect.cleandoc(command.__doc__ or "").partition("\n\n")[0].split()
        assert first[0] in text
        assert command.__name__ in text


def test_help_goes_into_a_file() -> None:
    """Without a terminal there are no colours, and nothing that a file cannot have."""
    done = subprocess.run(
        [sys.executable, "-m", "fastnn", "train", "--help"], capture_output=True, check=True
    )
    text = done.stdout.decode("utf-8")
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= COLUMNS
