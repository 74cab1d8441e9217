"""The number of threads, and what lowers it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastnn
from fastnn import threads
from fastnn.system.cores import fast_cores


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Leave BLAS and fastnn as they were."""
    import threadpoolctl

    remembered = fast_cores, threads._quota_of_process
    for one in remembered:
        one.cache_clear()
    monkeypatch.setattr(threads, "_chosen", None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with threadpoolctl.threadpool_limits():
        yield
    for one in remembered:
        one.cache_clear()


def test_what_was_set_holds_for_blas_too() -> None:
    from fastnn.backends.processor import matrix_product_threads

    for count in (1, 2):
        fastnn.set_num_threads(count)
        assert fastnn.get_num_threads() == count
        assert matrix_product_threads() in (count, None)


@pytest.mark.parametrize("set_by_user", [False, True])
def test_a_backend_lowers_blas_to_the_cores(
    set_by_user: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastnn.backends.numpy import NumpyBackend
    from fastnn.backends.processor import matrix_product_threads

    fastnn.set_num_threads(3)
    monkeypatch.setattr(threads, "_chosen", None)
    monkeypatch.setattr(threads, "default_num_threads", lambda: 2)
    for name in threads.BLAS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if set_by_user:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    NumpyBackend()
    assert matrix_product_threads() in (3 if set_by_user else 2, None)


def test_a_number_for_a_while() -> None:
    from fastnn.backends.processor import matrix_product_threads

    fastnn.set_num_threads(2)
    seen: list[int | None] = []

    def fail() -> None:
        with threads.num_threads(1):
            seen.extend([fastnn.get_num_threads(), matrix_product_threads()])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen in ([1, 1], [1, None])
    assert fastnn.get_num_threads() == 2
    assert matrix_product_threads() in (2, None)
    with threads.num_threads(None):
        assert fastnn.get_num_threads() == 2
    with pytest.raises(ValueError, match="threads must be at least 1"), threads.num_threads(0):
        pass
    assert fastnn.get_num_threads() == 2


def test_numbers_for_a_while_that_end_in_another_order() -> None:
    from fastnn.backends.processor import matrix_product_threads

    fastnn.set_num_threads(2)
    one, other = threads.num_threads(1), threads.num_threads(3)
    one.__enter__()
    other.__enter__()
    assert fastnn.get_num_threads() == 3
    one.__exit__(None, None, None)
    assert fastnn.get_num_threads() == 3
    assert matrix_product_threads() in (3, None)
    other.__exit__(None, None, None)
    assert fastnn.get_num_threads() == 2
    assert matrix_product_threads() in (2, None)


@pytest.mark.parametrize("wrong", [0, -1])
def test_fewer_than_one(wrong: int) -> None:
    with pytest.raises(ValueError, match="threads must be at least 1"):
        fastnn.set_num_threads(wrong)
    assert fastnn.get_num_threads() == threads.default_num_threads()


@pytest.mark.parametrize("wrong", [1.5, "2", None, True])
def test_no_integer(wrong: Any) -> None:
    with pytest.raises(TypeError, match="threads must be an integer"):
        fastnn.set_num_threads(wrong)


def test_the_default_is_the_fast_cores_among_its_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[frozenset[int]] = []

    def half(processors: frozenset[int]) -> int:
        asked.append(processors)
        return len(processors) // 2

    monkeypatch.setattr(threads, "_processors", lambda: {0, 1, 2, 5})
    monkeypatch.setattr(threads, "_quota", lambda: None)
    monkeypatch.setattr(threads, "fast_cores", half)
    assert threads.default_num_threads() == 2
    assert asked == [{0, 1, 2, 5}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000\n", 8), ("200000 100000\n", 2), ("50000 100000\n", 1), ("150000 100000\n", 2)],
)
def test_the_quota_of_a_container_counts(
    text: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path, encoding: str) -> str:
        if path.name == "cpu.max":
            return text
        raise FileNotFoundError(path)

    monkeypatch.setattr(threads, "_processors", lambda: set(range(8)))
    monkeypatch.setattr(threads, "fast_cores", len)
    monkeypatch.setattr(Path, "read_text", read)
    assert threads.default_num_threads() == expected


V1 = "4:cpu,cpuacct:{path}\n3:memory:/elsewhere\n1:name=systemd:/elsewhere\n"
V1_MOUNT = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
)
V2 = "0::{path}\n"
V2_MOUNT = "32 31 0:29 {top} /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
GROUPS = {
    "no files": ({}, None),
    "version 2": ({"cpu.max": "300000 100000\n"}, 3),
    "version 2 without a limit": ({"cpu.max": "max 100000\n"}, None),
    "version 2, damaged": ({"cpu.max": "lots"}, None),
    "version 2, nested": (
        {
            "/proc/self/cgroup": V2.format(path="/user.slice/job.scope"),
            "/proc/self/mountinfo": V2_MOUNT.format(top="/"),
            "user.slice/job.scope/cpu.max": "250000 100000\n",
        },
        3,
    ),
    "version 2, the group around it has less": (
        {
            "/proc/self/cgroup": V2.format(path="/user.slice/job.scope"),
            "user.slice/cpu.max": "150000 100000\n",
            "user.slice/job.scope/cpu.max": "max 100000\n",
            "cpu.max": "900000 100000\n",
        },
        2,
    ),
    "version 2, another group": (
        {"/proc/self/cgroup": V2.format(path="/a"), "b/cpu.max": "100000 100000\n"},
        None,
    ),
    "version 2, outside of what is seen": (
        {"/proc/self/cgroup": V2.format(path="/../../a"), "cpu.max": "200000 100000\n"},
        2,
    ),
    "version 1": (
        {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        2,
    ),
    "version 1, both controllers": (
        {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        1,
    ),
    "version 1 without a limit": (
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        None,
    ),
    "version 1 without a period": ({"cpu/cpu.cfs_quota_us": "100000\n"}, None),
    "version 1, nested": (
        {
            "/proc/self/cgroup": V1.format(path="/jobs/1"),
            "/proc/self/mountinfo": V1_MOUNT.format(top="/"),
            "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/jobs/1/cpu.cfs_quota_us": "350000\n",
            "cpu,cpuacct/jobs/1/cpu.cfs_period_us": "100000\n",
        },
        4,
    ),
    "version 1, in a container": (
        {
            "/proc/self/cgroup": V1.format(path="/docker/abc/inner"),
            "/proc/self/mountinfo": V1_MOUNT.format(top="/docker/abc"),
            "cpu,cpuacct/cpu.cfs_quota_us": "600000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/inner/cpu.cfs_quota_us": "120000\n",
            "cpu,cpuacct/inner/cpu.cfs_period_us": "100000\n",
        },
        2,
    ),
    "version 1, in a container that is told the host's path": (
        {
            "/proc/self/cgroup": V1.format(path="/docker/abc"),
            "cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "50000\n",
        },
        2,
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_the_control_groups_of_a_process_count(name: str, tmp_path: Path) -> None:
    files, expected = GROUPS[name]
    for file, text in files.items():
        below = file.lstrip("/") if file.startswith("/") else f"sys/fs/cgroup/{file}"
        (tmp_path / below).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / below).write_text(text, "utf-8")
    assert threads._quota(tmp_path) == expected


def test_a_real_quota_counts() -> None:
    """In a control group of version 1 that is made for the test, where this user may do that."""
    group = Path("/sys/fs/cgroup/cpu/fastnn-test")
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control groups of version 1 can be made here")
    try:
        (group / "cpu.cfs_quota_us").write_text("100000", "utf-8")
        code = (
            f"import os; open('{group}/tasks', 'w').write(str(os.getpid()));"
            "import fastnn; print(fastnn.get_num_threads())"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        assert result.stdout.strip() == "1"
    finally:
        group.rmdir()


@pytest.mark.parametrize(("value", "expected"), [("1", 1), ("3,1", 3), ("", 4), ("x", 4), ("0", 4)])
def test_openmp_s_variable_counts(
    value: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_processors", lambda: set(range(4)))
    monkeypatch.setattr(threads, "fast_cores", len)
    monkeypatch.setattr(threads, "_quota", lambda: None)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.default_num_threads() == expected


def test_files_are_read_once_and_what_changes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = Path.read_text

    def reading(path: Path, *arguments: Any) -> str:
        read.append(path)
        return real(path, *arguments)

    monkeypatch.setattr(Path, "read_text", reading)
    first = fastnn.get_num_threads()
    assert read
    read.clear()
    assert [fastnn.get_num_threads() for _ in range(3)] == [first] * 3
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert fastnn.get_num_threads() == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    fastnn.set_num_threads(first + 1)
    assert fastnn.get_num_threads() == first + 1
    assert read == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_an_affinity_that_changes_is_seen() -> None:
    code = (
        "import os, fastnn; before = fastnn.get_num_threads(); all = os.sched_getaffinity(0);"
        "os.sched_setaffinity(0, [min(all)]); one = fastnn.get_num_threads();"
        "os.sched_setaffinity(0, all); print(one, fastnn.get_num_threads() == before)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.split() == ["1", "True"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_a_process_on_one_core_uses_one_thread() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "import fastnn; print(fastnn.get_num_threads())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "1"
