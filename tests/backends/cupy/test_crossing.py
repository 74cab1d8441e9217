"""From which size on cuBLAS takes a product: computed for a device, or measured on it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fastnn.backends.cupy import measured
from fastnn.backends.cupy.backend import CupyBackend
from fastnn.backends.cupy.crossing import NEVER, Crossing, Rates, computed
from fastnn.errors import KernelCacheWarning
from tests.helpers.gpu import ROOT, cupy_backend

T4 = Rates(40, 1.59e9, 320e9, "75")
A100 = Rates(108, 1.41e9, 1555e9, "80")
H100 = Rates(132, 1.98e9, 3350e9, "90")


def test_it_follows_the_device_not_its_name() -> None:
    t400 = Rates(6, 1.425e9, 80e9, "75")
    assert computed(t400).float32 < computed(T4).float32 < computed(A100).float32
    h200 = dataclasses.replace(H100, bandwidth=4800e9)
    assert computed(h200).float32 == pytest.approx(computed(H100).float32, rel=0.1)
    part_of_it = dataclasses.replace(A100, multiprocessors=14, bandwidth=A100.bandwidth / 8)
    assert computed(part_of_it).float32 < computed(A100).float32 / 4
    faster = dataclasses.replace(A100, clock=2 * A100.clock, bandwidth=2 * A100.bandwidth)
    assert computed(faster).float32 > computed(A100).float32
    of_the_future = dataclasses.replace(H100, capability="999")
    assert computed(of_the_future).float32 > 0
    assert computed(T4).float64 == NEVER  # arithmetic alone binds both


def test_the_documents_have_what_is_computed() -> None:
    text = (ROOT / "docs" / "gpu.md").read_text("utf-8")
    for dtype, title in (("float32", "float32, million multiply-adds"), ("float64", "float64")):
        found = re.search(rf"^\| {title} \| (.+) \|$", text, re.MULTILINE)
        assert found is not None
        limits = [getattr(computed(rates), dtype) for rates in (T4, A100, H100)]
        words = ["never" if some == NEVER else f"{some / 1e6:.0f}" for some in limits]
        assert found[1].split(" | ") == words


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Path]:
    """A device, and the file of it in an empty directory of caches."""
    device = cupy_backend().device
    monkeypatch.setattr(measured, "user_cache", lambda: tmp_path)
    assert measured.measured(device) is None
    return device, measured.keep(device, Crossing(1234, 567, "measured today"))


@pytest.mark.gpu
def test_what_was_measured_decides(kept: tuple[Any, Path]) -> None:
    device, path = kept
    assert measured.measured(device) == Crossing(1234, 567, "measured today")
    backend = CupyBackend(device.id)
    assert backend.products.by_cublas(1235, "float32")
    assert not backend.products.by_cublas(1234, "float32")
    assert backend.products.by_cublas(568, "float64")
    path.unlink()
    crossing = CupyBackend(device.id).products.crossing
    assert crossing == computed(Rates.of(device))


@pytest.mark.gpu
def test_a_file_is_of_one_device_driver_and_cupy(
    kept: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    device, path = kept
    own = measured.identity(device)
    for name in ("device", "capability", "multiprocessors", "driver", "cupy"):
        with monkeypatch.context() as patch:
            patch.setattr(measured, "identity", lambda _, name=name: {**own, name: "another"})
            assert measured.file_of(device) != path
            assert measured.measured(device) is None


@pytest.mark.gpu
def test_a_broken_file_is_left_aside_with_a_warning(kept: tuple[Any, Path]) -> None:
    device, path = kept
    whole = path.read_text("utf-8")
    foreign = json.loads(whole)
    foreign["identity"]["multiprocessors"] += 1
    broken = {
        "not JSON": [whole[:-20], "", "[" * 50_000, "\xff\xfe"],
        "no crossing": ["[]", "{}", '{"crossing": 3}'],
        "another device": [json.dumps(foreign)],
        "no positive integers": [
            whole.replace("1234", text) for text in ("0", "-1", "true", "1.5", '"9"', "null")
        ],
    }
    for problem, texts in broken.items():
        for text in texts:
            path.write_bytes(text.encode("latin-1"))
            with pytest.warns(KernelCacheWarning, match=problem) as warned:
                assert CupyBackend(device.id).products.crossing.source == "computed"
            assert str(path) in str(warned[0].message)
    path.unlink()
    path.mkdir()
    with pytest.warns(KernelCacheWarning, match="cannot be read"):
        assert measured.measured(device) is None
