"""A file in the place of another, where files that are open are not replaced, as on Windows."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from fastnn.system import atomic_file


class Refusing:
    """`Path.replace` as Windows has it while somebody has one of the files open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        whole = Path.replace

        def replace(path: Path, target: Path) -> Path:
            self.left -= 1
            if self.left >= 0:
                raise PermissionError(13, "Access is denied", str(path), 5, str(target))
            return whole(path, target)

        monkeypatch.setattr(Path, "replace", replace)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A new file, and the one whose place it is to take."""
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_bytes(b"new")
    old.write_bytes(b"old")
    return new, old


def test_a_file_that_is_open_for_a_moment(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = files
    refusing = Refusing(monkeypatch, 3)
    atomic_file._replace_when_closed(new, old)
    assert refusing.left == -1
    assert old.read_bytes() == b"new"
    assert not new.exists()


def test_a_file_that_stays_open_is_an_error(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = files
    monkeypatch.setattr(atomic_file, "SECONDS_UNTIL_CLOSED", 0.1)
    Refusing(monkeypatch, 10**6)
    with pytest.raises(PermissionError, match="Access is denied"):
        atomic_file._replace_when_closed(new, old)
    assert old.read_bytes() == b"old"


def test_a_directory_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = Refusing(monkeypatch, 10**6)
    began = time.monotonic()
    with pytest.raises(PermissionError):
        atomic_file._replace_when_closed(tmp_path / "new", tmp_path)
    assert refusing.left == 10**6 - 1
    assert time.monotonic() - began < atomic_file.SECONDS_UNTIL_CLOSED


def test_an_error_begins_with_what_was_not_done(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "table.csv"
    words = rf"the table was not written: there is no directory {re.escape(str(missing.parent))}"
    failed = "the table was not written"
    with pytest.raises(FileNotFoundError, match=words) as checked:
        atomic_file.check_directory_of(missing, failed)
    with pytest.raises(FileNotFoundError, match=words) as written:
        atomic_file.write_atomically(missing, b"", failed)
    assert checked.value.filename == written.value.filename == str(missing)
    with pytest.raises(IsADirectoryError, match=r"the table was not written: .* a directory"):
        atomic_file.write_atomically(tmp_path, b"", failed)
    atomic_file.check_directory_of(tmp_path / "new", failed)
    assert list(tmp_path.iterdir()) == []
