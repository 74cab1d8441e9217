"""Machine code on disk: damage, full disks, kills, and processes that start together."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("numba")

from fastnn.kernels.cpu.machine_code import Store, files
from fastnn.kernels.cpu.machine_code import locks as process_locks
from fastnn.kernels.cpu.machine_code.locks import ProcessLocks

from tests.helpers.kernel_store import (
    DTYPES,
    LOSS,
    WARNED_TAKE_ROWS,
    dtypes_together,
    killed,
    losses_together,
    output,
    right,
    small_kernel,
    started,
)


def store(directory: Path) -> Store:
    return Store(lambda: directory)


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    """The one file of a store."""
    assert right(store(tmp_path)) == []
    (file,) = tmp_path.glob("*.nbc")
    return file


def assert_mended(entry: Path) -> None:
    """What is wrong costs one warning, and the file is right again."""
    (said,) = right(store(entry.parent))
    assert str(entry) in said
    assert right(store(entry.parent)) == []
    assert list(entry.parent.glob("*.nbc")) == [entry]


# Damage


def test_what_is_kept_is_used(entry: Path) -> None:
    kernel = small_kernel(store(entry.parent))
    assert kernel(21) == 42
    assert sum(kernel.stats.cache_hits.values()) == 1
    assert kernel.stats.cache_path == str(entry.parent)


@pytest.mark.parametrize("part", [0, 1, 0.1, 0.5, 0.9, -1])
def test_a_truncated_file(part: float, entry: Path) -> None:
    content = entry.read_bytes()
    length = int(part) if part in (0, 1, -1) else int(part * len(content))
    entry.write_bytes(content[:length])
    assert_mended(entry)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_flipped_bit(part: float, entry: Path) -> None:
    content = bytearray(entry.read_bytes())
    content[int(part * len(content))] ^= 1
    entry.write_bytes(content)
    assert_mended(entry)


def test_nothing_is_rebuilt_from_a_file_of_any_other_length(entry: Path) -> None:
    content = entry.read_bytes()
    for length in range(len(content)):
        with pytest.raises(ValueError, match="cut short or changed"):
            files._unsealed(entry.name, content[:length])
    with pytest.raises(ValueError, match="cut short or changed"):
        files._unsealed(entry.name, content + b"\0")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (exec, ("import builtins; builtins.exploded = True", ""))


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, pickle.dumps(Bomb()), b"numba 0.61"])
def test_a_foreign_file_is_not_unpickled(content: bytes, entry: Path) -> None:
    import builtins

    entry.write_bytes(content)
    assert_mended(entry)
    assert not hasattr(builtins, "exploded")


def test_a_file_of_another_kernel(entry: Path) -> None:
    other = small_kernel(store(entry.parent))
    other(2.5)
    (theirs,) = set(entry.parent.glob("*.nbc")) - {entry}
    entry.write_bytes(theirs.read_bytes())
    theirs.unlink()
    assert_mended(entry)


def test_a_file_that_is_right_but_for_other_arguments(entry: Path) -> None:
    kernel = small_kernel(store(entry.parent))
    kernel(2.5)
    (theirs,) = set(entry.parent.glob("*.nbc")) - {entry}
    body = files._unsealed(theirs.name, theirs.read_bytes())
    entry.write_bytes(files._sealed(entry.name, body))
    theirs.unlink()
    assert_mended(entry)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_directory_and_a_pipe_in_a_file_s_place(entry: Path) -> None:
    entry.unlink()
    entry.mkdir()
    assert len(right(store(entry.parent))) == 1
    entry.rmdir()
    os.mkfifo(entry)
    assert_mended(entry)


def test_all_files_damaged_draw_one_warning(entry: Path) -> None:
    kept = store(entry.parent)
    small_kernel(kept)(2.5)
    for file in entry.parent.glob("*.nbc"):
        file.write_bytes(b"")
    kernel = small_kernel(store(entry.parent))
    with pytest.warns(match="compiled anew") as found:
        assert (kernel(21), kernel(2.5)) == (42, 5.0)
    assert len(found) == 1


def test_a_file_that_may_not_be_read(entry: Path) -> None:
    if not hasattr(os, "getuid") or os.getuid() == 0:
        pytest.skip("this user may read everything")
    entry.chmod(0)
    assert_mended(entry)


# Places that take nothing


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[None]:
    """A file system of so many bytes, where this user can make one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(directory)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file systems can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


TRAIN = """
import json, sys, warnings
import numpy as np, fastnn
x, t = np.eye(6, 8, dtype="float32").repeat(20, 0), np.arange(6).repeat(20)
losses = {}
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    for backend in ("numpy", "numba"):
        fastnn.set_backend(backend, strict=True)
        network = fastnn.TwoLayerNet(8, 4, 6, seed=0)
        history = fastnn.fit(network, x, t, epochs=2, batch_size=20, seed=0)
        losses[backend] = float(network.loss(x, t))
assert abs(losses["numpy"] - losses["numba"]) < 1e-5, losses
print(json.dumps([[w.category.__name__, str(w.message)] for w in found]))
"""


def warned(process: subprocess.Popen[str]) -> str:
    """Wait for a process that has to succeed and give its warnings."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


@pytest.mark.exhaustive
def test_a_training_on_a_full_disk_costs_one_warning(tmp_path: Path) -> None:
    with small_disk(tmp_path, "512k"):
        found = output(started(TRAIN, tmp_path))
        assert list(tmp_path.rglob("*.nbc")), "some fit"
        assert not list(tmp_path.rglob("*.unfinished"))
    assert found.count("KernelCacheWarning") == 1
    assert "No space left on device" in found


def test_a_full_disk_costs_one_warning(tmp_path: Path) -> None:
    with small_disk(tmp_path, "64k"):
        said = warned(started(WARNED_TAKE_ROWS, tmp_path, *DTYPES[:5]))
        assert list(tmp_path.rglob("*.nbc")), "some fit"
        assert not list(tmp_path.rglob("*.unfinished"))
    assert said.count("KernelCacheWarning") == 1
    assert "No space left on device" in said


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))"


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit here")
def test_a_limit_of_file_sizes(tmp_path: Path) -> None:
    said = warned(started(LIMIT + WARNED_TAKE_ROWS, tmp_path, "float32", "float64"))
    assert said.count("KernelCacheWarning") == 1
    assert "File too large" in said
    assert not list(tmp_path.rglob("*.unfinished"))


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    assert right(store(tmp_path / "gone")) == []
    assert list((tmp_path / "gone").glob("*.nbc"))
    (said,) = right(store(tmp_path / "with" / "all"))
    assert "cannot be kept" in said


def test_no_directory() -> None:
    (said,) = right(Store(lambda: None))
    assert "NUMBA_CACHE_DIR" in said


def test_what_a_killed_process_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    old, new = tmp_path / "a.unfinished", tmp_path / "b.unfinished"
    for file in (old, new):
        file.touch()
    os.utime(old, (time.time() - 2 * files.LEFT_OVER_SECONDS,) * 2)
    assert right(store(tmp_path)) == []
    assert not old.exists()
    assert new.exists()


def test_on_windows_a_file_that_another_process_reads_stays(
    entry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As no open file is replaced there; elsewhere it is an error that is told."""

    def replace(path: Path, target: Path) -> Path:
        raise PermissionError(13, "Access is denied")

    kept = entry.read_bytes()
    monkeypatch.setattr(Path, "replace", replace)
    for platform, words in (("linux", ["Access is denied"]), ("win32", [])):
        with monkeypatch.context() as patch:
            patch.setattr(files, "sys", SimpleNamespace(platform=platform))
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                store(entry.parent).save(entry.name, lambda: b"the same")
        assert len(found) == len(words)
        assert all(word in str(one.message) for word, one in zip(words, found, strict=True))
        assert entry.read_bytes() == kept
        assert not list(entry.parent.glob("*.unfinished"))


def test_flush_and_disable(entry: Path) -> None:
    kernel = small_kernel(store(entry.parent))
    kernel._cache.flush()
    assert not entry.exists()
    kernel._cache.disable()
    assert kernel(21) == 42
    assert not entry.exists()
    kernel._cache.enable()
    assert kernel(2.5) == 5.0
    assert len(list(entry.parent.glob("*.nbc"))) == 1


# Several processes


@pytest.mark.exhaustive
def test_processes_that_start_together_compile_other_signatures(tmp_path: Path) -> None:
    dtypes_together(tmp_path, 3)


@pytest.mark.exhaustive
def test_processes_that_start_together_agree_on_the_loss(tmp_path: Path) -> None:
    losses_together(tmp_path, 2)


def test_a_kill_while_compiling(tmp_path: Path) -> None:
    killed(tmp_path, 0.9)


COUNT = """
import atexit, sys
from numba.core import event
compiled = []
class Counter(event.Listener):
    def on_start(self, event):
        if event.data["dispatcher"].stats.cache_path is not None:
            compiled.append(event)
    def on_end(self, event):
        pass
event.register("numba:compile", Counter())
atexit.register(lambda: print(f"compiled {len(compiled)}", file=sys.stderr))
"""


def test_of_processes_that_start_together_one_compiles_and_others_wait(tmp_path: Path) -> None:
    together = [started(COUNT + LOSS, tmp_path, "int64") for _ in range(3)]
    compiled = 0
    for process in together:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        compiled += int(said.split()[-1])
        assert said.count("waiting for another process") <= 1
    assert compiled == len(list(tmp_path.rglob("*.nbc"))) > 0


HOLD = """
import sys
from pathlib import Path
from fastnn.kernels.cpu.machine_code.locks import ProcessLocks
locks = ProcessLocks(Path(sys.argv[1]) / "locks")
with locks.released_at_the_end():
    locks.take(sys.argv[2], lambda: False)
    print(flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock "kernel"."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), "kernel"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_who_waits_says_so_once_and_no_longer_than_it_is_worth(
    tmp_path: Path,
    held: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from fastnn.kernels.cpu.compiler import seconds_compiling

    monkeypatch.setattr(process_locks, "LONGEST_WAIT", 0.6)
    locks, before = ProcessLocks(tmp_path / "locks"), seconds_compiling()
    for _ in range(2):
        with locks.released_at_the_end():
            locks.take("kernel", lambda: False)
            locks.take("another", lambda: False)
    assert capfd.readouterr().err.count("waiting for another process") == 1
    assert 0.5 < seconds_compiling() - before < 5


def test_who_waits_goes_on_when_it_has_come(tmp_path: Path, held: subprocess.Popen[str]) -> None:
    locks, looks = ProcessLocks(tmp_path / "locks"), iter([False, False, True, True])
    with locks.released_at_the_end():
        locks.take("kernel", lambda: next(looks))
    assert locks._held == []


def test_a_lock_ends_with_its_process(tmp_path: Path, held: subprocess.Popen[str]) -> None:
    held.kill()
    held.wait()
    locks = ProcessLocks(tmp_path / "locks")
    with locks.released_at_the_end():
        locks.take("kernel", lambda: False)
        assert len(locks._held) == 1
        with locks.released_at_the_end():
            locks.take("kernel", lambda: False)
            locks.take("another", lambda: False)
            assert len(locks._held) == 2
        assert len(locks._held) == 1
    assert locks._file is None


def test_an_error_while_compiling_releases_the_lock(tmp_path: Path) -> None:
    import numba

    kept = store(tmp_path)
    kernel = small_kernel(kept)
    with pytest.raises(numba.TypingError):
        kernel(object())
    assert kept.locks is not None
    assert kept.locks._held == []
    assert kept.locks._file is None
    assert kernel(21) == 42


def test_compiling_a_function_of_no_module_is_not_ours() -> None:
    import numba
    from fastnn.kernels.cpu.compiler import seconds_compiling

    names: dict[str, object] = {"__name__": None}
    exec("def twice(x):\n    return 2 * x", names)
    before = seconds_compiling()
    assert numba.njit(names["twice"])(21) == 42
    assert seconds_compiling() == before
