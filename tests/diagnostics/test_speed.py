"""``fastnn bench``, and the advice behind it. No test asserts how fast anything is."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import fastnn
from fastnn.backends.selection import load_backend
from fastnn.cli import app
from fastnn.diagnostics.busy import busy, first_cores
from fastnn.diagnostics.speed import Measurement, best, measure_backends, thread_counts
from fastnn.nn.networks import MultiLayerNet

SMALL = ["bench", "--layers", "6,5,3", "--batch", "4", "--seconds", "0.2"]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def usable_cpu_backends() -> list[str]:
    return [name for name in ("numpy", "numba") if fastnn.available_backends()[name].usable]


def test_table_has_every_usable_backend_and_thread_count() -> None:
    result = run(*SMALL)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "6-5-3, batch 4, float32, on random numbers"
    rows = [words for line in lines[2:] if len(words := line.split()) > 4 and words[1].isdigit()]
    expected = {
        (name, str(threads))
        for name in usable_cpu_backends()
        for threads in thread_counts(load_backend(name))
    }
    assert {(row[0], row[1]) for row in rows} == expected
    times = [float(row[2].replace(",", "")) for row in rows]
    assert times == sorted(times)
    assert times[0] > 0
    assert sum(line.endswith("  <") for line in lines) == 1


def test_advice_is_a_line_for_a_script() -> None:
    result = run(*SMALL, "--backend", "numpy")
    assert result.stdout.splitlines()[-1].startswith('fastnn.set_backend("numpy")')


def test_unusable_backends_are_told_with_their_reason() -> None:
    output = run(*SMALL).output
    for name, info in fastnn.available_backends().items():
        assert (f"{name} was not measured: {info.reason}" in output) == (not info.usable)


def test_json() -> None:
    result = run(*SMALL, "--backend", "numpy", "--dtype", "float64", "--json")
    described = json.loads(result.stdout)
    assert described["layers"] == [6, 5, 3]
    assert (described["batch"], described["dtype"]) == (4, "float64")
    assert described["data"] == "random numbers"
    assert described["best"] in described["measurements"]
    for row in described["measurements"]:
        assert row["backend"] == "numpy"
        assert 0 < row["fastest"] <= row["microseconds"] <= row["slowest"]
        assert row["samples_per_second"] == pytest.approx(4e6 / row["microseconds"])


def test_beside_a_busy_core() -> None:
    result = run(*SMALL, "--backend", "numpy", "--busy", "1", "--json")
    described = json.loads(result.stdout)
    assert described["busy_cores"] == 1
    assert described["best"]["microseconds"] > 0
    title = run(*SMALL, "--backend", "numpy", "--busy", "1").output.splitlines()[0]
    assert title.endswith("beside 1 busy core")


def test_more_busy_cores_than_there_are() -> None:
    with pytest.raises(ValueError, match="cannot keep 100000 cores busy"):
        measure_backends([6, 5, 3], 4, backends=["numpy"], busy_cores=100_000)


def test_what_keeps_a_core_busy_ends_with_it() -> None:
    started = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Recorded)
        keeping = busy(first_cores(1))
        keeping.__enter__()
        assert started[0].poll() is None
        keeping.__exit__(KeyError, KeyError(), None)
    assert started[0].poll() is not None


@pytest.mark.parametrize("layers", ["784", "784,,10", "784,0,10", "784,x,10", "-1,2"])
def test_bad_layers_are_an_error(layers: str) -> None:
    result = run("bench", "--layers", layers, "--seconds", "0")
    assert result.exit_code != 0
    assert layers.split(",")[0] in (result.output + str(result.exception))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(layers=[784, 10], batch=0), "batch"),
        (dict(layers=[784, 10], batch=60001), "60001"),
        (dict(layers=[784, 10], dtype="float16"), "float16"),
        (dict(layers=[784, 10], backends=["nunpy"]), "numpy"),
        (dict(layers=[784, 10], seconds=float("nan")), "seconds"),
        (dict(layers=[784]), "784"),
    ],
)
def test_bad_arguments_are_an_error_that_names_them(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        measure_backends(**arguments)


def test_a_backend_that_cannot_run_is_an_error_when_asked_for() -> None:
    if fastnn.available_backends()["cupy"].usable:
        pytest.skip("CuPy can run here")
    with pytest.raises(fastnn.BackendUnavailableError, match="CuPy"):
        measure_backends([6, 5, 3], 4, backends=["cupy"], seconds=0)


def test_any_network_and_time_are_measured() -> None:
    for layers in ([6, 3], [784, 4, 3, 2]):
        for row in measure_backends(layers, 2, "float64", backends=["numpy"], seconds=0):
            assert row.fastest == row.slowest == row.microseconds > 0


def test_measuring_leaves_the_active_backend_alone() -> None:
    with fastnn.use_backend("numpy") as active:
        measure_backends([6, 5, 3], 4, seconds=0)
        assert fastnn.get_backend() is active


def test_measuring_leaves_the_number_of_threads_alone() -> None:
    before = fastnn.get_num_threads()
    measure_backends([6, 5, 3], 4, backends=["numpy"], seconds=0)
    assert fastnn.get_num_threads() == before


def test_the_advice_sets_the_threads_where_there_is_a_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fastnn.diagnostics.speed.default_num_threads", lambda: 2)
    last = run(*SMALL, "--backend", "numpy").output.splitlines()[-1]
    assert last in [f'fastnn.set_backend("numpy"); fastnn.set_num_threads({n})' for n in (1, 2)]


@pytest.mark.gpu
def test_a_gpu_is_measured_without_threads() -> None:
    if not fastnn.available_backends()["cupy"].usable:
        pytest.skip("CuPy cannot run here")
    (row,) = measure_backends([6, 5, 3], 4, backends=["cupy"], seconds=0)
    assert (row.backend, row.threads) == ("cupy", None)
    assert row.microseconds > 0


def test_a_network_that_stands_still_is_measured_without_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The learning rate is so small that none gets on; and here all units are dead."""
    network = MultiLayerNet(6, [5], 3)
    network.params["b1"] = np.full(5, -1e3)
    monkeypatch.setattr("fastnn.diagnostics.speed.MultiLayerNet", lambda *_, **__: network)
    (row, *_) = measure_backends([6, 5, 3], 4, backends=["numpy"], seconds=0)
    assert row.microseconds > 0


def test_thread_counts_are_powers_of_two_up_to_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = load_backend("numpy")
    for cores, counts in {1: [1], 2: [1, 2], 6: [1, 2, 4, 6], 8: [1, 2, 4, 8]}.items():
        monkeypatch.setattr(
            "fastnn.diagnostics.speed.default_num_threads", lambda cores=cores: cores
        )
        assert thread_counts(numpy) == counts


def test_of_equally_fast_candidates_the_one_with_fewer_threads_is_best() -> None:
    one = Measurement("numba", 1, 102.0, 100.0, 110.0, 1.0)
    two = replace(one, threads=2, microseconds=100.0)
    four = replace(one, threads=4, microseconds=90.0)
    assert best([two, one]) is one
    assert best([four, two, one]) is four
