"""Gathering samples on the host: what indexing gives, whatever an array is like."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn.backends.cupy import gathering
from fastnn.backends.cupy.gathering import GatheringThreads, gather_rows


def arrays(directory: Path) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((40, 6)).astype("float32")
    x[3, 2], x[5, 1] = np.nan, -0.0
    mapped = np.memmap(directory / "x", "float32", "w+", shape=x.shape)
    mapped[:] = x
    unaligned = np.frombuffer(b"-" + x.tobytes(), "uint8")[1:].view("float32").reshape(x.shape)
    assert not unaligned.flags.aligned
    return {
        "as it is": x, "mapped": mapped, "by columns": np.asfortranarray(x),
        "every other": np.repeat(x, 2, axis=0)[::2], "swapped": x.astype(">f4"),
        "unaligned": unaligned, "doubles": x.astype("float64"), "bytes": x.astype("int8"),
        "of two axes": x.reshape(40, 2, 3), "labels": np.arange(40),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_rows_are_those_that_indexing_gives(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).permutation(40)[:33]
    for name, source in arrays(tmp_path).items():
        for dtype in ("float32", "int64", source.dtype.newbyteorder("=")):
            expected = np.empty((33, *source.shape[1:]), dtype)
            out = expected.copy()
            expected[...] = source[rows]
            gather_rows(source, out, rows)
            assert out.tobytes() == expected.tobytes(), (name, dtype)
        for wrong in (-1, 40, 2**40):
            out = np.empty((3, *source.shape[1:]), source.dtype)
            with pytest.raises(IndexError, match="array of 40 rows"):
                gather_rows(source, out, np.array([0, wrong, 1]))


@pytest.mark.parametrize("cores", [1, 2, 3, 64])
def test_threads_share_the_work(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "get_num_threads", lambda: cores)
    monkeypatch.setattr(gathering, "GATHER_BYTES", 5 * 9 * 4)
    at_work, gather = set(), gathering.gather_rows
    all_there = threading.Barrier(min(cores, gathering.MOST_THREADS))

    def seen(*arguments: Any) -> None:
        if threading.current_thread() not in at_work:
            at_work.add(threading.current_thread())
            all_there.wait(60)  # none does the work of another
        gather(*arguments)

    monkeypatch.setattr(gathering, "gather_rows", seen)
    x, t = np.arange(900, dtype="float32").reshape(100, 9), np.arange(100)
    rows = np.random.default_rng(1).permutation(100)[:83]
    buffers = np.full((90, 9), -1, "float32"), np.full(90, -1)
    threads = GatheringThreads(gathering.MOST_THREADS)
    for done in threads.gather(list(zip((x, t), buffers, strict=True)), rows, lambda: False):
        done.result()
    threads.end()
    assert len(at_work) == threads.count == min(cores, 4)
    for source, buffer in zip((x, t), buffers, strict=True):
        np.testing.assert_array_equal(buffer[:83], source[rows])
        assert np.all(buffer[83:] == -1)
    assert not any(thread.is_alive() for thread in at_work)
