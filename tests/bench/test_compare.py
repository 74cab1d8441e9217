"""The comparison with other libraries is fair, and says what it measured. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn

BENCH = Path(__file__).parents[2] / "bench"
OWN = ["book", "careful-numpy", "fastnn-numpy", "fastnn-numpy-loop", "fastnn-numba"]
PEERS = ["torch", "sklearn", "thinc", "jax-step", "jax-scan"]


@pytest.fixture(scope="module", autouse=True)
def bench_on_the_path() -> Iterator[None]:
    if not BENCH.exists() or sys.platform != "linux":
        pytest.skip("the comparison needs bench/, and Linux to pin processes to cores")
    sys.path.insert(0, str(BENCH))
    yield
    sys.path.remove(str(BENCH))


@pytest.fixture(params=["float32", "float64"])
def workload(request: pytest.FixtureRequest) -> Any:
    from workload import Workload

    return Workload((784, 6, 10), 200, "mnist", request.param)


def skip_unless_usable(name: str) -> None:
    if "numba" in name and not fastnn.available_backends()["numba"].usable:
        pytest.skip("Numba cannot run here")


@pytest.mark.parametrize("name", OWN)
def test_contestants_train_the_same_network(workload: Any, name: str) -> None:
    assert error_of(name, workload) <= (1e-4 if workload.dtype == "float32" else 1e-11)


def error_of(name: str, workload: Any) -> float:
    from contestants import contestant_class
    from proof import check_the_same
    from reference import reference

    skip_unless_usable(name)
    with fastnn.use_backend("numpy"):  # put back what a contestant selects
        chosen = contestant_class(name, "cpu")
        reason = chosen.why_absent(workload)
        if reason is not None:
            pytest.skip(reason)
        found = chosen(workload, "cpu").prove()
    return check_the_same(name, found, reference(workload), workload)


def workload_of_parts(parts: str, dtype: str) -> Any:
    from workload import Workload

    some: dict[str, dict[str, Any]] = {
        "all": {"activation": "tanh", "optimizer": "Adam", "normalised": True, "dropout": 0.2},
        "momentum": {"activation": "sigmoid", "optimizer": "Momentum"},
        "adam": {"activation": "tanh", "optimizer": "Adam"},
    }
    return Workload((784, 6, 5, 10), 200, "mnist", dtype, **some[parts])


@pytest.mark.exhaustive
@pytest.mark.parametrize("parts", ["all", "momentum", "adam"])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("careful-numpy", "float64"),
        ("fastnn-numpy", "float64"),
        ("fastnn-numpy", "float32"),
        ("fastnn-numpy-loop", "float64"),
        pytest.param("fastnn-numba", "float64", marks=pytest.mark.exhaustive),
    ],
)
def test_contestants_train_other_networks(parts: str, name: str, dtype: str) -> None:
    if (parts, dtype) == ("all", "float32"):
        pytest.skip("Adam takes steps along the roundings of a bias before a batch normalisation")
    error = error_of(name, workload_of_parts(parts, dtype))
    assert error <= (1e-3 if dtype == "float32" else 1e-10)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", PEERS)
def test_peers_train_the_same_network(workload: Any, name: str) -> None:
    reason = proven_in_a_process(name, workload)
    assert reason is None or (name, reason) == ("thinc", "has no float64")


def proven_in_a_process(name: str, workload: Any) -> str | None:
    """Prove a contestant, or say why it takes no part."""
    from race import Process, prove
    from reference import reference

    process = Process(name, workload, 1, "cpu")
    try:
        reason = process.open(workload)
        if reason is None:
            prove(process, workload, reference(workload))
        elif "not installed" in reason:
            pytest.skip(reason)
        return reason
    finally:
        process.close()


@pytest.mark.parametrize("parts", ["all", "momentum", "adam"])
@pytest.mark.parametrize("name", PEERS)
def test_peers_train_other_networks(parts: str, name: str) -> None:
    reason = proven_in_a_process(name, workload_of_parts(parts, "float64"))
    assert reason is None or (name, parts) == ("sklearn", "all") or name == "thinc"


def test_deep_networks_with_relu_are_proven_in_float64() -> None:
    from proof import proven_workloads
    from workload import ROWS

    dtypes = {name: [one.dtype for one in proven_workloads(row)] for name, row in ROWS.items()}
    assert dtypes["784-50-10"] == dtypes["tanh"] == ["float32"]
    assert dtypes["deep"] == dtypes["dense-adam"] == ["float64", "float32"]


def test_a_contestant_that_trains_something_else_ends_the_race(workload: Any) -> None:
    from proof import NotTheSameError, check_the_same
    from reference import reference

    expected = reference(workload)
    initial = workload.initial()
    almost = {key: array + 0.01 * (array - initial[key]) for key, array in expected.items()}
    for found in (initial, almost, {**expected, "b1": expected["b1"] * np.nan}):
        with pytest.raises(NotTheSameError, match="someone"):
            check_the_same("someone", found, expected, workload)


def test_initial_weights_and_proof_are_those_of_a_seeded_network(workload: Any) -> None:
    from workload import PROOF_STEPS, SEED

    with fastnn.use_backend("numpy"):
        network: Any = fastnn.TwoLayerNet(*workload.layers, dtype=workload.dtype, seed=SEED)
    for key, array in workload.initial().items():
        np.testing.assert_array_equal(network.params[key], array)
    deep = workload_of_parts("all", workload.dtype)
    with fastnn.use_backend("numpy"):
        network = fastnn.MultiLayerNet(
            784, [6, 5], 10, "tanh", "xavier", use_batchnorm=True, dtype=workload.dtype, seed=SEED
        )
    assert list(deep.initial()) == list(network.params)
    for key, array in deep.initial().items():
        np.testing.assert_array_equal(network.params[key], array)
    rows = workload.proof_rows()
    assert rows.shape == (PROOF_STEPS, workload.batch)
    assert sorted(rows.ravel()) == list(range(rows.size))


def test_noise_has_no_zeros_and_can_be_learned() -> None:
    from workload import Workload

    noise = Workload((20, 6, 3), 200, "noise")
    assert noise.x.shape == (60000, 20)
    assert (noise.x > 0).all()
    assert np.bincount(noise.t).min() > 10000


def test_a_race_and_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import race as race_module
    from figure import draw_comparison
    from machine import describe_machine
    from race import race
    from report import END, fastest_peer, machine_lines, print_row, ratios, replaced, write_docs
    from workload import Workload

    monkeypatch.setattr(race_module, "TURN_SECONDS", 0.01)
    workload = Workload((784, 6, 10), 1000)
    said: list[str] = []
    names = ["book", "careful-numpy", "fastnn-numpy", "products"]
    row = race(workload, 1, names, 2, "cpu", said.append)
    assert "fastnn-numpy trains right" in "\n".join(said)
    assert list(row["contestants"]) == names
    assert all(len(one["microseconds"]) == 2 for one in row["contestants"].values())
    assert row["flops"] == 2 * 1000 * (2 * 784 * 6 + 3 * 6 * 10)
    assert fastest_peer(row)[0] in ("book", "careful-numpy")
    slowest = [max(pair) for pair in zip(*peers(row), strict=True)]
    assert all(ratio > 0 for ratio in ratios(row, "fastnn-numpy"))
    assert max(ratios(row, "fastnn-numpy")) <= max(slowest) / min(own(row))

    print_row(row)
    printed = capsys.readouterr().out
    assert "a large matrix product runs at" in printed
    assert all(name in printed for name in names)

    draw_comparison([row], tmp_path / "figure.svg")
    assert "<svg" in (tmp_path / "figure.svg").read_text("utf-8")

    machine = describe_machine()
    row["date"] = machine["date"]
    assert np.__version__ in machine_lines(machine)
    results = tmp_path / "benchmarks"
    results.mkdir()
    document = tmp_path / "benchmarks.md"
    document.write_text((BENCH.parent / "docs" / "benchmarks.md").read_text("utf-8"), "utf-8")
    other = {**row, "layers": [784, 6, 6, 10], "parts": ["Tanh", "Adam"]}
    compared = {
        "machine": machine,
        "rows": [row, other],
        "scripts": {"1": {"training": {"book": [2.0]}}},
    }
    (results / "compare-cpu.json").write_text(json.dumps(compared), "utf-8")
    write_docs(results)
    assert "784-6-10, batch 1000, 1 thread |" in document.read_text("utf-8")
    assert "### Other activations, layers and optimizers, float32" in document.read_text("utf-8")
    assert "784-[6]x2-10, Tanh, Adam, mnist, batch 1000, 1 thread |" in document.read_text("utf-8")
    with pytest.raises(ValueError, match="marks"):
        replaced("no such part", "compare-cpu", "text")
    assert END.format("compare-cpu") in document.read_text("utf-8")


def own(row: dict[str, Any]) -> list[float]:
    turns: list[float] = row["contestants"]["fastnn-numpy"]["microseconds"]
    return turns


def peers(row: dict[str, Any]) -> list[list[float]]:
    return [row["contestants"][name]["microseconds"] for name in ("book", "careful-numpy")]


def test_more_threads_than_cores_are_an_error() -> None:
    from pinning import cores

    assert len(cores(1)) == 1
    with pytest.raises(ValueError, match="may use"):
        cores(100_000)


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc here")
@pytest.mark.parametrize("backend", ["numba", pytest.param("numpy", marks=pytest.mark.exhaustive)])
def test_fit_does_not_copy_bytes_in_float32(backend: str) -> None:
    from memory import memory_of_fit

    skip_unless_usable(backend)
    measured = memory_of_fit(backend)
    assert measured["float32_copy"] == pytest.approx(4 * measured["data"])
    assert measured["fit"] < measured["float32_copy"] / 2


@pytest.mark.parametrize("script", ["compare.py", "scaling.py"])
def test_the_commands_explain_themselves(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH / script), "--help"], capture_output=True, text=True, check=True
    )
    assert "--threads" in done.stdout


@pytest.mark.exhaustive
def test_one_row_is_written_as_json(tmp_path: Path) -> None:
    file = tmp_path / "row.json"
    command = [sys.executable, str(BENCH / "compare.py"), "--row", "784-50-10", "--threads", "1"]
    command += ["--data", "mnist", "--dtype", "float32", "--rounds", "1", "--json", str(file)]
    command += ["--contestants", "careful-numpy", "products"]
    subprocess.run(command, check=True, capture_output=True)
    written = json.loads(file.read_text("utf-8"))
    assert [row["layers"] for row in written["rows"]] == [[784, 50, 10]]
    assert written["machine"]["libraries"]["numpy"] == np.__version__
