"""Where machine code is kept, and that a user is told when there is none yet."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path, PureWindowsPath
from typing import cast

import pytest

pytest.importorskip("numba")


from fastnn.kernels.cpu.machine_code import places

import fastnn
from tests.helpers.exhaustive import exhaustive_but

TRAIN = """
import numpy as np
from fastnn.kernels.cpu import update
from fastnn.kernels.cpu.machine_code import places
update.sgd_update(np.ones(3), np.ones(3), 0.5)
print(places.cache_directory())
"""


def directory_among(monkeypatch: pytest.MonkeyPatch, *directories: Path) -> Path | None:
    monkeypatch.setattr(places, "_places", lambda: iter(directories))
    return cast("Path | None", places.cache_directory.__wrapped__())


def test_the_first_place_that_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    found = directory_among(monkeypatch, in_the_way, tmp_path / "second", tmp_path / "third")
    assert found is not None
    assert found.parent == tmp_path / "second"
    assert found.is_dir()
    assert found == directory_among(monkeypatch, tmp_path / "second")


def test_machine_code_is_not_among_the_installed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pip uninstall` would leave it there, and with it a package that can be imported."""
    monkeypatch.setattr(places.config, "CACHE_DIR", "")
    found = list(places._places())
    assert found
    for place in found:
        assert not place.is_relative_to(Path(fastnn.__file__).parent)
        assert not place.is_relative_to(places.KERNELS)


def test_no_place_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    assert directory_among(monkeypatch, in_the_way) is None


def test_a_place_that_was_filled_before_is_read_where_none_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = directory_among(monkeypatch, tmp_path / "second")
    monkeypatch.setattr(places, "_writable", lambda directory: False)
    assert directory_among(monkeypatch, tmp_path / "first", tmp_path / "second") == filled


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners here")
def test_a_place_of_somebody_else_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    found = directory_among(monkeypatch, theirs)
    assert found is not None
    if os.getuid() == 0:  # of whom everything is trusted
        os.chown(found, 12345, 12345)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert directory_among(monkeypatch, theirs) is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners here")
def test_a_place_that_others_may_write_to_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(0o777)
    assert directory_among(monkeypatch, theirs) is None
    theirs.chmod(0o1777)
    found = directory_among(monkeypatch, theirs)
    assert found is not None
    assert found.parent == theirs


def test_paths_are_no_longer_than_windows_takes(tmp_path: Path) -> None:
    """Under the longest name of a user, 20 characters, also in Python from Microsoft's store."""
    from fastnn.kernels.cpu.machine_code.cache import KernelCache
    from fastnn.kernels.cpu.machine_code.files import Store
    from numba.core.registry import cpu_target

    def a_kernel_with_a_name_that_is_far_longer_than_any_other() -> None:
        pass

    store, codegen = Store(lambda: tmp_path), cpu_target.target_context.codegen()
    cache = KernelCache(a_kernel_with_a_name_that_is_far_longer_than_any_other, store)
    name = cache.name_of((), codegen)
    assert name.startswith("t_is_far_longer_than_any_other-")
    user = "u" * 20
    local = PureWindowsPath("C:/Users", user, "AppData", "Local")
    app = "Packages/PythonSoftwareFoundation.Python.3.13_qbz5n2kfra8p0/LocalCache/Local"
    for place in (local, local / app):
        for parent in (place, place / "Temp" / f"fastnn-kernels-{user}"):
            path = parent / f"fastnn-{places._fingerprint()}" / name
            assert len(str(path)) < 260
            assert len(name) >= len(f"{uuid.uuid4().hex}.unfinished")


def test_names_in_the_cache_say_which_kernel_it_is() -> None:
    from fastnn.kernels.cpu import step_dense

    assert step_dense.train._cache._prefix == "step_dense.train"


def test_a_change_of_any_kernel_or_of_the_checks_is_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.py").write_text("1", "utf-8")
    (tmp_path / "two.py").write_text("2", "utf-8")
    monkeypatch.setattr(places, "KERNELS", tmp_path)
    found = {places._fingerprint()}
    (tmp_path / "two.py").write_text("3", "utf-8")
    found.add(places._fingerprint())
    monkeypatch.setattr(places.config, "BOUNDSCHECK", 1)
    found.add(places._fingerprint())
    assert len(found) == 3


def test_machine_code_is_found_again(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def run(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code], env=environment,
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip

    directory = Path(run(TRAIN).stdout.strip())
    assert directory.parent == tmp_path
    assert list(directory.rglob("*.nbc"))
    count = "print(update.sgd_update.stats.cache_hits)"
    assert run(TRAIN + count).stdout.splitlines()[-1] != "Counter()"


def test_a_user_is_told_that_kernels_are_compiled(tmp_path: Path) -> None:
    code = """
import numba, numpy as np
numba.njit(lambda x: x + 1)(1)
from fastnn.kernels.cpu import relu, update
numba.njit(lambda x: x - 1)(1)
update.sgd_update(np.ones(3), np.ones(3), 0.5)
relu(np.ones(3), np.ones(3))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment,
            capture_output=True, text=True, check=True, timeout=300,
        ).stderr
        for _ in range(2)
    ]  # fmt: skip
    assert said[0] == "fastnn: compiling kernels for this kind of network and data; they are kept\n"
    assert said[1] == ""


STANDARD_ERRORS = {
    "none": "sys.stderr = None",
    "closed": "sys.stderr.close()",
    "full": "os.dup2(os.open('/dev/full', os.O_WRONLY), 2)",
    "broken pipe": "r, w = os.pipe(); os.close(r); os.dup2(w, 2)",
    "that takes no text": "sys.stderr = open(os.devnull, 'wb')",
}


@pytest.mark.parametrize("how", exhaustive_but(["full"], STANDARD_ERRORS))
def test_kernels_compile_when_nobody_can_be_told(how: str, tmp_path: Path) -> None:
    if how == "full" and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    code = f"import os, sys; {STANDARD_ERRORS[how]}\n{TRAIN}"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment,
        stdout=subprocess.PIPE, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0
    assert Path(done.stdout.strip()).parent == tmp_path


def test_the_seconds_spent_compiling_count_nested_kernels_once(tmp_path: Path) -> None:
    code = """
import json, threading, time
import numba, numpy as np
from fastnn.kernels.cpu import compiler, product, update
def seconds(call):
    start, before = time.perf_counter(), compiler.seconds_compiling()
    call()
    return compiler.seconds_compiling() - before, time.perf_counter() - start
def together():
    threads = [threading.Thread(target=update.sgd_update, args=(a, a, 0.5))
               for a in (np.ones(3, "float32"), np.ones(3, "float64"))]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
x, W, b = np.ones((2, 3)), np.ones((3, 16)), np.ones(16)
print(json.dumps({
    "own": seconds(lambda: numba.njit(lambda x: x + 1)(1)),
    "nested": seconds(lambda: product.affine(x, W, b, False, np.ones((2, 16)))),
    "again": seconds(lambda: product.affine(x, W, b, False, np.ones((2, 16)))),
    "threads": seconds(together),
}))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment,
        capture_output=True, text=True, check=True, timeout=300,
    ).stdout  # fmt: skip
    seconds = json.loads(said)
    assert seconds["own"][0] == seconds["again"][0] == 0
    for kind in ("nested", "threads"):
        compiling, passed = seconds[kind]
        assert 0.1 * passed < compiling < passed


def nobody(*arguments: object) -> object:
    raise KeyError("getpwuid(): uid not found")


def test_a_user_without_name_home_and_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    pwd = pytest.importorskip("pwd")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "XDG_CACHE_HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError):
        Path.home()
    monkeypatch.setattr(places.config, "CACHE_DIR", "")
    among_temporary_files = Path(tempfile.gettempdir()) / f"fastnn-kernels-{os.getuid()}"
    assert list(places._places()) == [among_temporary_files]
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [])
    with pytest.raises(FileNotFoundError):
        tempfile.gettempdir()
    assert list(places._places()) == []


READ_ONLY = """
set -e
mount --make-rprivate /
for place in $(awk '{print $5}' /proc/self/mountinfo | sort -r); do
    case $place in /proc*|/sys*) ;; *) mount -o remount,ro,bind "$place" 2>/dev/null ;; esac || true
done
exec "$@"
"""
RUN = """
import contextlib, io, json, sys, tempfile, warnings
try:
    open(sys.argv[1] + "/file", "w")
    tempfile.gettempdir()
except OSError:
    pass
else:
    sys.exit("not read-only after all")
import numpy as np, fastnn
from fastnn.kernels.cpu.machine_code import places
assert places.cache_directory() is None, places.cache_directory()
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    assert fastnn.available_backends()["numba"].usable
    fastnn.set_backend("numba", strict=True)
    assert not found
    network, x, t = fastnn.TwoLayerNet(8, 4, 3), np.ones((2, 8), "float32"), np.array([0, 1])
    loss = float(network.loss(x, t))
assert abs(loss - float(network.to("numpy").loss(x, t))) < 1e-6
print(json.dumps([[w.category.__name__, w.filename] for w in found]))
"""


def test_nothing_can_be_written_anywhere(tmp_path: Path) -> None:
    """For real, where this user may mount: a container whose root file system is read-only."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "none")}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = ["unshare", "-m", "sh", "-c", READ_ONLY, "sh", sys.executable, "-c", RUN]
    try:
        done = subprocess.run(
            [*command, str(tmp_path)],
            env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip(f"this user may not mount: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["KernelCacheWarning", "<string>"]]
    assert done.stderr == "fastnn: compiling kernels for this kind of network and data\n"


def test_kernels_that_do_not_import_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastnn.backends.numba.backend import NumbaBackend

    class Broken:
        def find_spec(self, name: str, path: object, target: object = None) -> None:
            if name == "fastnn.kernels.cpu":
                raise OSError("cannot allocate memory")

    monkeypatch.delitem(sys.modules, "fastnn.kernels.cpu")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    reason = NumbaBackend.unavailable_reason()
    assert reason is not None
    assert "do not import (OSError: cannot allocate memory)" in reason


ADMINISTRATORS = """
import sys
from fastnn.kernels.cpu.compiler import kernel
@kernel
def first(x):
    x[0] = 1
@kernel
def second(x):
    x[0] = 2
import numpy as np
from fastnn.kernels.cpu.machine_code import places
for function in (first, second)[: int(sys.argv[1])]:
    function(np.zeros(2))
if sys.argv[2:] == ["share"]:
    places.share(places.cache_directory())
kept = [sum(function.stats.cache_hits.values()) for function in (first, second)]
print(kept, str(places.cache_directory()), len(places.filled_directories()))
"""


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs an administrator")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
@pytest.mark.parametrize("shared", exhaustive_but([True], [True, False]))
def test_the_code_of_an_administrator_is_used_by_all(tmp_path: Path, shared: bool) -> None:
    """For real, as another user; what is not there is kept in a place of that user's own."""
    everybodys = Path(tempfile.mkdtemp())
    everybodys.chmod(0o755)
    theirs = everybodys / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    as_user = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    environment = {
        **os.environ, "NUMBA_CACHE_DIR": str(everybodys), "HOME": str(theirs),
        "XDG_CACHE_HOME": str(theirs), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip

    def run(user: list[str], *arguments: str) -> str:
        done = subprocess.run(
            [*user, sys.executable, "-c", ADMINISTRATORS, *arguments],
            env=environment, capture_output=True, text=True, check=False, timeout=100, cwd="/",
        )  # fmt: skip
        if user and "Permission denied" in done.stderr:
            pytest.skip("another user may not read the project")
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        return done.stdout

    try:
        run([], "1", *(["share"] if shared else []))
        for round_ in range(2):
            kept = [int(shared or round_ > 0), int(round_ > 0)]
            assert run(as_user, "2").startswith(f"{kept} {theirs}/fastnn-")
    finally:
        shutil.rmtree(everybodys)


def test_who_may_have_filled_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root and the user, where nobody else can put a file."""
    if not hasattr(os, "getuid"):
        pytest.skip("no owners here")
    own = directory_among(monkeypatch, tmp_path / "own")
    assert own is not None
    filled = tmp_path / "filled" / own.name
    filled.mkdir(parents=True)
    filled.parent.chmod(0o755)
    monkeypatch.setattr(places, "cache_directory", lambda: own)
    writable = [filled]
    # root may write everywhere
    monkeypatch.setattr(places, "_takes_files", lambda directory: directory in writable)

    def found() -> tuple[Path, ...]:
        monkeypatch.setattr(places, "_places", lambda: iter([filled.parent, own.parent]))
        return cast("tuple[Path, ...]", places.filled_directories.__wrapped__())

    assert found() == ()  # the user's own, and not where code is to be kept
    writable.clear()
    for mode, trusted in ((0o755, True), (0o555, True), (0o775, False), (0o757, False),
                          (0o1777, False)):  # fmt: skip
        filled.chmod(mode)
        assert found() == ((filled,) if trusted else ()), oct(mode)
    filled.chmod(0o755)
    filled.parent.chmod(0o777)
    assert found() == ()
    filled.parent.chmod(0o1777)
    assert found() == (filled,)
    if os.getuid() == 0:
        os.chown(filled, 12345, 12345)
        assert found() == ()
