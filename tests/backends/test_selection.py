"""Selecting a backend: names, fallbacks and their words, contexts, copies."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import BackendFallbackWarning, BackendUnavailableError, TwoLayerNet
from fastnn.backends import Backend, arrays, selection
from fastnn.backends.cupy.backend import CupyBackend
from fastnn.backends.numba.backend import NumbaBackend
from fastnn.backends.numpy import NumpyBackend
from tests.helpers.problems import Batch


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing selected and nothing loaded yet, as in a new process; undone afterwards."""
    fresh: dict[str, Backend] = {}
    monkeypatch.setattr(selection, "loaded", fresh)
    monkeypatch.setattr(arrays, "loaded", fresh)
    monkeypatch.setattr(selection, "_reasons", {})
    monkeypatch.setattr(selection, "_default", None)
    monkeypatch.delenv("FASTNN_BACKEND", raising=False)
    token = selection._active.set(None)  # type: ignore[arg-type]
    yield
    selection._active.reset(token)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, fresh: None) -> Callable[..., None]:
    """Make the other backends than those named unusable."""

    def only(*usable: str) -> None:
        for backend in (CupyBackend, NumbaBackend):
            can = backend.name in usable
            monkeypatch.setattr(
                backend, "unavailable_reason", lambda can=can: None if can else "no."
            )
        monkeypatch.setattr(CupyBackend, "__init__", lambda self: None)

    return only


def run_python(script: str, **environment: str) -> dict[str, Any]:
    """Run a script in a new process without a simulated GPU; the JSON that it prints last."""
    kept = {k: v for k, v in os.environ.items() if k not in ("CUPYSIM", "FASTNN_BACKEND")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**kept, **environment}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {"stderr": done.stderr, **json.loads(done.stdout.splitlines()[-1])}


# Names


def test_set_get_and_use(fresh: None) -> None:
    numpy = fastnn.set_backend("numpy")
    assert numpy.name == "numpy"
    assert fastnn.get_backend() is numpy
    with fastnn.use_backend("numba") as inner:
        assert fastnn.get_backend() is inner
        with fastnn.use_backend(numpy) as innermost:
            assert fastnn.get_backend() is innermost is numpy
        assert fastnn.get_backend() is inner
    assert fastnn.get_backend() is numpy
    assert fastnn.set_backend("numpy") is numpy
    own = NumpyBackend()
    assert fastnn.set_backend(own) is fastnn.get_backend() is own


def test_use_backend_gives_back_what_was_there_when_the_body_raises(fresh: None) -> None:
    before = fastnn.set_backend("numpy")
    with pytest.raises(ZeroDivisionError), fastnn.use_backend(NumpyBackend()):
        raise ZeroDivisionError
    assert fastnn.get_backend() is before
    with pytest.raises(ValueError, match="no backend"), fastnn.use_backend("nunpy"):
        pass
    assert fastnn.get_backend() is before


@pytest.mark.parametrize(
    ("usable", "chosen"),
    [(("cupy", "numba"), "cupy"), (("numba",), "numba"), ((), "numpy"), (("cupy",), "cupy")],
)
def test_auto_takes_the_first_that_can_run(
    only: Callable[..., None], usable: tuple[str, ...], chosen: str
) -> None:
    only(*usable)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fastnn.get_backend().name == chosen  # the default is auto
        assert fastnn.set_backend("auto").name == chosen


@pytest.mark.parametrize(
    ("name", "usable", "chosen"),
    [("cupy", ("numba",), "numba"), ("cupy", (), "numpy"), ("numba", ("cupy",), "numpy")],
)
def test_the_fallback_is_the_best_backend_on_the_cpu(
    only: Callable[..., None], name: str, usable: tuple[str, ...], chosen: str
) -> None:
    only(*usable)
    fastnn.set_backend("numpy")
    words = f"^The {name} backend cannot run here: no. Falling back to the {chosen} backend.$"
    for select in (fastnn.set_backend, TwoLayerNet(2, 2, 2).to):
        with pytest.warns(BackendFallbackWarning, match=words):
            select(name)
    with pytest.warns(BackendFallbackWarning, match=words):
        assert fastnn.set_backend(name).name == chosen
    assert fastnn.get_backend().name == chosen


def test_strict_raises_and_selects_nothing(only: Callable[..., None]) -> None:
    only("numba")
    before = fastnn.set_backend("numpy")
    network = TwoLayerNet(2, 2, 2)
    W1 = network.params["W1"]
    for select in (fastnn.set_backend, network.to):
        with pytest.raises(
            BackendUnavailableError, match=r"^The cupy backend cannot run here: no.$"
        ):
            select("cupy", strict=True)
    use = fastnn.use_backend("cupy", strict=True)
    with pytest.raises(BackendUnavailableError), use:
        pass
    assert fastnn.get_backend() is network.backend is before
    assert network.params["W1"] is W1
    assert fastnn.set_backend("numba", strict=True).name == "numba"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("cuda", "'cupy'"), ("numpi", "'numpy'"), ("NUMBA", "'numba'"), ("Cupy", "'cupy'"),
        (" numba ", "'numba'"), ("automatic", "'auto'"), ("np", "'numpy'"), ("NumPy", "'numpy'"),
        ("gpu", "'cupy'"), ("GPU:0", "'cupy:0'"), ("cuda:1", "'cupy:1'"), ("nvidia", "'cupy'"),
        ("gpu1", "'cupy:1'"), ("cuda12x", "'cupy'"), (" Cupy:2 ", "'cupy:2'"),
        ("numba-cpu", "'numba'"),
    ],
)  # fmt: skip
def test_unknown_names_list_the_names_and_the_nearest(fresh: None, name: str, nearest: str) -> None:
    words = f"no backend '{name}'.*'cupy', 'numba', 'numpy', 'auto'; did you mean {nearest}"
    before = fastnn.set_backend("numpy")
    for select in (fastnn.set_backend, TwoLayerNet(2, 2, 2).to, selection.load_backend):
        with pytest.raises(ValueError, match=words):
            select(name)
    assert fastnn.get_backend() is before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cpu", "for the CPU choose 'numba', or 'numpy'.*'auto'"), ("CPU:0", "for the CPU"),
        ("host", "for the CPU"), ("cpus", "for the CPU"),
        ("torch", "does not compute on torch: .*'cupy', for the CPU 'numba' or 'numpy'"),
        ("PyTorch", "on pytorch"), ("pytorh", "on pytorch"), ("jax", "on jax"), ("mps", "on mps"),
        ("tensorflow9", "on tensorflow"), ("rocm", "on rocm"), ("tpu", "on tpu"),
    ],
)  # fmt: skip
def test_words_of_others_lead_to_what_there_is(
    fresh: None, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    for select in (
        fastnn.set_backend, TwoLayerNet(2, 2, 2).to, selection.load_backend,
        lambda name: fastnn.use_backend(name).__enter__(),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words) as caught:
            select(name)
        assert "did you mean" not in str(caught.value)
    monkeypatch.setenv("FASTNN_BACKEND", name)
    monkeypatch.setattr(selection, "_default", None)
    with pytest.raises(ValueError, match=f"FASTNN_BACKEND: .*{words}"):
        fastnn.get_backend()


def test_what_is_no_name_of_a_backend(fresh: None) -> None:
    for given, words in (
        (np, r"got a module, .*did you mean 'numpy'\?"), (b"numba", "bytes.*did you mean 'numba'"),
        (10**5000, "got an int, an integer of about 5001 digits$"), (None, "got a NoneType, None$"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=words):
            fastnn.set_backend(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda:1", "'cuda:1'; did you mean 'cupy:1'"), ("cpu", "'cpu'; for the CPU"),
        (True, "got True"), (1.0, "got 1.0"), (-1, "got -1"), (10**5000, "got an integer of about"),
    ],
    ids=["cuda:1", "cpu", "True", "1.0", "-1", "10**5000"],
)  # fmt: skip
def test_devices_are_numbers(fresh: None, device: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"device must be the number of a device.*{words}"):
        fastnn.set_backend("cupy", device=device)


def test_precision_is_of_backends_that_have_a_choice(fresh: None) -> None:
    assert fastnn.set_backend("numpy", precision="highest").precision == "highest"
    for backend, precision, words in (
        ("numpy", "high", "'high' is of the cupy backend: numpy computes as with 'highest'"),
        ("numba", "high", "numba computes as with"), ("auto", "high", "instead of 'auto'"),
        ("numpy", "medium", "'medium' is of the cupy backend"),
        ("auto", "medium", "precision='medium'"),
        ("numpy", "low", "must be 'highest', 'high' or 'medium', got 'low'"),
        ("cupi", "high", "did you mean 'cupy'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            fastnn.set_backend(backend, precision=precision)


def test_words_with_a_device_lead_to_one(fresh: None) -> None:
    with pytest.raises(ValueError, match="did you mean 'cupy:1', for an NVIDIA GPU"):
        fastnn.set_backend("gpu", device=1)


@pytest.mark.parametrize("name", ["", "x", "fast", "quantum"])
def test_far_off_names_have_no_nearest(fresh: None, name: str) -> None:
    with pytest.raises(ValueError, match=r"one of 'cupy', 'numba', 'numpy', 'auto'$"):
        fastnn.set_backend(name)


@pytest.mark.parametrize("name", [None, 3, b"numpy", ["numpy"], np, NumpyBackend])
def test_what_is_no_name_is_a_type_error(fresh: None, name: Any) -> None:
    for select in (fastnn.set_backend, TwoLayerNet(2, 2, 2).to):
        with pytest.raises(TypeError, match=f"a backend is a name.*{type(name).__name__}"):
            select(name)


# What can run here


def test_available_backends(fresh: None) -> None:
    described = fastnn.available_backends()
    assert list(described) == ["cupy", "numba", "numpy"]
    for name, info in described.items():
        assert info.name == name
        assert info.usable == (info.reason == "")
        if info.usable:
            assert info.version
            assert info.device
            assert info.memory is None or info.memory > 2**20
        else:
            assert info.reason.startswith(f"The {name} backend cannot run here: ")
    numpy = described["numpy"]
    assert numpy.version == np.__version__
    assert numpy.threads is None or 1 <= numpy.threads <= 4096
    if described["numba"].usable:
        assert described["numba"].version == importlib.metadata.version("numba")
        assert described["numba"].threads == numpy.threads
    assert selection._active.get() is None  # looking selects nothing


def test_what_cannot_run_is_described_in_the_words_of_the_error(only: Callable[..., None]) -> None:
    only("numba")
    info = fastnn.available_backends()["cupy"]
    assert not info.usable
    assert (info.version, info.device, info.memory, info.threads) == (None, None, None, None)
    with pytest.raises(BackendUnavailableError) as caught:
        fastnn.set_backend("cupy", strict=True)
    assert info.reason == str(caught.value)


class FakeError(RuntimeError):
    pass


def fake_cupy(**answers: Any) -> ModuleType:
    """Make what `unavailable_reason` asks of CuPy; an answer that is an error raises."""
    given: dict[str, Any] = {
        "version": "14.2.0", "driver": 13000, "runtime": 13000, "devices": 1,
        "capability": (7, 5), "result": 8.0, **answers,
    }  # fmt: skip

    def ask(what: str) -> Any:
        if isinstance(given[what], Exception):
            raise given[what]
        return given[what]

    class Ones:
        def __matmul__(self, other: Any) -> Any:
            return SimpleNamespace(sum=lambda: ask("result"))

    module: Any = ModuleType("cupy")
    module.__spec__ = ModuleSpec("cupy", None)
    module.float32 = np.float32
    module.ones = lambda *_: Ones()
    module.__version__ = given["version"]
    module.cuda = SimpleNamespace(
        runtime=SimpleNamespace(
            CUDARuntimeError=FakeError,
            driverGetVersion=lambda: ask("driver"),
            runtimeGetVersion=lambda: ask("runtime"),
            getDeviceCount=lambda: ask("devices"),
            getDevice=lambda: 0,
            getDeviceProperties=lambda _: {
                "name": b"Some GPU",
                **dict(zip(("major", "minor"), ask("capability"), strict=True)),
            },
        )
    )
    return module  # type: ignore[no-any-return]


NVRTC = RuntimeError("libnvrtc.so.13: cannot open shared object file")
PROBLEMS: dict[str, tuple[ModuleType | None, str | None, list[str]]] = {
    "not installed": (
        None, None,
        [
            "CuPy is not installed",
            "pip install 'fastnn-backends[cuda13x]', or 'cupy-cuda13x[ctk]>=14.2'",
            "pip install 'fastnn-backends[cuda12x]', or 'cupy-cuda12x[ctk]>=14.2'",
        ],
    ),
    "an old one": (
        fake_cupy(version="14.1.1"), "12",
        ["CuPy 14.1.1", "needs 14.2 or later", "--upgrade 'cupy-cuda12x[ctk]>=14.2'"],
    ),
    "a much older one": (fake_cupy(version="9.6.0b1"), "13", ["9.6.0b1", "needs 14.2 or later"]),
    "device too old for CUDA 13": (
        fake_cupy(capability=(7, 0), result=NVRTC), "13",
        [
            "device 0 (Some GPU) has compute capability 7.0", "CUDA 13", "needs 7.5",
            "pip uninstall cupy-cuda13x", "pip install 'cupy-cuda12x[ctk]>=14.2'",
        ],
    ),
    "no driver": (fake_cupy(driver=0), "13", ["no NVIDIA driver", "install one", "CPU backend"]),
    "driver does not answer": (fake_cupy(driver=FakeError("999")), "13", ["999", "nvidia-smi"]),
    "wheel for a newer CUDA": (
        fake_cupy(driver=12040), "13",
        ["built for CUDA 13", "up to CUDA 12.4", "update the driver", "uninstall cupy-cuda13x"],
    ),
    "wheel built from source": (
        fake_cupy(driver=11080, runtime=12020), None, ["built for CUDA 12", "up to CUDA 11.8"],
    ),
    "no device": (fake_cupy(devices=0), "13", ["no device", "CUDA_VISIBLE_DEVICES"]),
    "no device, as an error": (
        fake_cupy(devices=FakeError("cudaErrorNoDevice")), "13", ["ErrorNoDevice", "nvidia-smi"],
    ),
    "no compiler": (
        fake_cupy(result=NVRTC), "13", ["libnvrtc.so.13", "cannot compute", "cupy-cuda13x[ctk]>="],
    ),
    "no compiler for 12": (fake_cupy(result=NVRTC), "12", ["cupy-cuda12x[ctk]"]),
}  # fmt: skip


@pytest.mark.parametrize("problem", PROBLEMS)
def test_why_cupy_cannot_run_and_how_to_mend_it(
    fresh: None, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    module, wheel, words = PROBLEMS[problem]

    def version(name: str) -> str:
        if name == f"cupy-cuda{wheel}x":
            return "14.2.0"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(BackendUnavailableError) as raised:
        fastnn.set_backend("cupy", strict=True)
    with pytest.warns(BackendFallbackWarning) as warned:
        assert fastnn.set_backend("cupy").name in ("numba", "numpy")
    for word in words:
        assert word in str(raised.value)
    assert str(warned[0].message).startswith(str(raised.value))
    assert fastnn.available_backends()["cupy"].reason == str(raised.value)
    assert fastnn.set_backend("auto").name != "cupy"


def test_a_cupy_without_faults_is_usable(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    assert CupyBackend.unavailable_reason() is None
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(driver=13010, runtime=12090))
    assert CupyBackend.unavailable_reason() is None  # drivers run what is older
    for version in ("14.2.0", "14.10.0rc1", "15.0.0a1", "of somebody's own"):
        monkeypatch.setitem(sys.modules, "cupy", fake_cupy(version=version))
        assert CupyBackend.unavailable_reason() is None


def test_cuda_12_runs_on_older_devices(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = {"cupy-cuda12x": "14.2.0"}

    def version(name: str) -> str:
        if name not in wheels:
            raise importlib.metadata.PackageNotFoundError(name)
        return wheels[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(capability=(6, 1)))
    assert CupyBackend.unavailable_reason() is None
    assert CupyBackend.device_problem(0) is None
    wheels["cupy-cuda13x"] = wheels.pop("cupy-cuda12x")
    for problem in (CupyBackend.unavailable_reason(), CupyBackend.device_problem(0)):
        assert "compute capability 6.1" in str(problem)


class Broken:
    """A finder by which a package is there, but does not import."""

    def __init__(self, package: str, error: Exception) -> None:
        self.package, self.error = package, error

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == self.package:
            raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("libcublas.so.13 is missing"), "does not import.*libcublas.so.13 is missing"),
        (ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock"), "fastrlock"),
        (AttributeError("numpy.bool8"), "does not import.*numpy.bool8"),
    ],
)
@pytest.mark.parametrize("name", ["cupy", "numba"])
def test_a_package_that_does_not_import(
    fresh: None, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, words: str
) -> None:
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(name, error), *sys.meta_path])
    with pytest.raises(BackendUnavailableError, match=rf"{words}.*pip install"):
        fastnn.set_backend(name, strict=True)


def test_cupy_without_a_device_for_real() -> None:
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    found = run_python(
        """
        import json, warnings
        import fastnn
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            chosen = fastnn.set_backend("cupy").name
        if chosen != "cupy":
            try:
                fastnn.set_backend("cupy", strict=True)
            except fastnn.BackendUnavailableError as error:
                strict = str(error)
        else:
            strict = None
        print(json.dumps({"chosen": chosen, "strict": strict,
                          "auto": fastnn.set_backend("auto").name,
                          "warned": [str(w.message) for w in caught]}))
        """
    )
    if found["chosen"] == "cupy":
        pytest.skip("there is a device")
    assert found["auto"] == found["chosen"] != "cupy"
    (warned,) = found["warned"]
    assert warned == f"{found['strict']} Falling back to the {found['chosen']} backend."
    assert "NVIDIA" in warned
    assert "driver" in warned


# Without Numba


WITHOUT_NUMBA = """
    import json, sys, warnings

    class NoNumba:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("numba", "llvmlite", "cupy"):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, NoNumba())
    warnings.simplefilter("error")
    import numpy as np
    import fastnn
    """


def test_everything_runs_without_numba() -> None:
    found = run_python(
        WITHOUT_NUMBA
        + """
    x = np.random.default_rng(0).random((50, 6))
    t = (x[:, 0] > x[:, 1]).astype(int)
    network = fastnn.TwoLayerNet(6, 8, 2, 0.5, seed=0)
    history = fastnn.fit(network, x, t, epochs=40, batch_size=10, optimizer=fastnn.SGD(1.0),
                         seed=0, validation=(x, t), progress=False)
    report = fastnn.check_gradients(network, x[:5], t[:5])
    try:
        fastnn.set_backend("numba", strict=True)
    except fastnn.BackendUnavailableError as error:
        strict = str(error)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fallback = fastnn.set_backend("numba").name
    print(json.dumps({
        "backend": network.backend.name, "accuracy": history.validation_accuracies[-1],
        "passed": report.passed, "checked": sorted({c.backend for c in report.comparisons}),
        "strict": strict, "fallback": fallback, "warned": [str(w.message) for w in caught],
        "numba": "numba" in sys.modules, "usable": fastnn.available_backends()["numba"].usable,
    }))
    """
    )
    assert found["backend"] == found["fallback"] == "numpy"
    assert found["accuracy"] > 0.9
    assert found["passed"]
    assert found["checked"] == ["numpy"]
    assert "Numba is not installed; pip install numba" in found["strict"]
    assert found["warned"] == [f"{found['strict']} Falling back to the numpy backend."]
    assert not found["numba"]
    assert not found["usable"]


# The environment


SAY = """
    import json, warnings
    import fastnn
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            name, error = fastnn.get_backend().name, None
        except Exception as e:
            name, error = None, f"{type(e).__name__}: {e}"
        again = fastnn.set_backend("numpy").name
    print(json.dumps({"name": name, "error": error, "again": again,
                      "warned": [str(w.message) for w in caught]}))
    """


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_the_environment_variable_decides(name: str) -> None:
    found = run_python(SAY, FASTNN_BACKEND=name)
    assert (found["name"], found["error"], found["warned"]) == (name, None, [])


def test_a_bad_environment_variable_is_named(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_python(SAY, FASTNN_BACKEND="nunba")
    assert found["error"].startswith(
        "ValueError: environment variable FASTNN_BACKEND: there is no backend 'nunba'"
    )
    assert "did you mean 'numba'?" in found["error"]
    assert found["again"] == "numpy"  # a choice in the script is not touched by it


def test_an_empty_environment_variable_is_none(
    only: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    only()
    monkeypatch.setenv("FASTNN_BACKEND", "")
    assert fastnn.get_backend().name == "numpy"


def test_the_environment_falls_back_with_a_warning(
    only: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    only()
    monkeypatch.setenv("FASTNN_BACKEND", "numba")
    with pytest.warns(BackendFallbackWarning, match="numba backend cannot run here") as caught:
        assert fastnn.get_backend().name == "numpy"
    assert caught[0].filename == __file__
    fastnn.get_backend()  # warns once


# Where the warning points


def test_the_warning_points_at_the_callers_line(only: Callable[..., None]) -> None:
    only()
    beside = f"{Path(fastnn.__file__).parent}_of_mine.py"  # it begins as the package's files do
    calls = [
        "fastnn.set_backend('numba')",
        "with fastnn.use_backend('numba'): pass",
        "fastnn.TwoLayerNet(2, 2, 2).to('numba')",
    ]
    code = compile("import fastnn\n" + "\n".join(calls), beside, "exec")
    with pytest.warns(BackendFallbackWarning) as caught:
        exec(code, {})
    assert [(w.filename, w.lineno) for w in caught] == [(beside, n) for n in (2, 3, 4)]


# Contexts


def test_threads_do_not_disturb_each_other(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_BACKEND", "numpy")
    barrier = threading.Barrier(4)
    mine = {i: NumpyBackend() for i in range(4)}

    def work(i: int) -> tuple[str, bool]:
        first = fastnn.get_backend().name
        fastnn.set_backend(mine[i])
        barrier.wait(10)
        network = TwoLayerNet(2, 2, 2)
        barrier.wait(10)
        return first, fastnn.get_backend() is network.backend is mine[i]

    fastnn.set_backend("numba")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    # A new thread starts from the process-wide default, not from its parent's choice.
    assert found == [("numpy", True)] * 4
    assert fastnn.get_backend().name in ("numba", "numpy")
    assert fastnn.get_backend() not in mine.values()


def test_asyncio_tasks_do_not_disturb_each_other(fresh: None) -> None:
    outer = fastnn.set_backend("numpy")
    mine = {i: NumpyBackend() for i in range(3)}

    async def work(i: int) -> bool:
        inherited = fastnn.get_backend() is outer
        with fastnn.use_backend(mine[i]):
            await asyncio.sleep(0)
            inside = fastnn.get_backend() is mine[i]
            await asyncio.sleep(0)
        fastnn.set_backend(mine[i])
        await asyncio.sleep(0)
        return inherited and inside and fastnn.get_backend() is mine[i]

    async def main() -> list[bool]:
        return await asyncio.gather(*[work(i) for i in range(3)])

    assert asyncio.run(main()) == [True] * 3
    assert fastnn.get_backend() is outer


def test_a_copied_context_keeps_its_choice(fresh: None) -> None:
    first = fastnn.set_backend("numpy")
    context = contextvars.copy_context()
    second = fastnn.set_backend(NumpyBackend())
    assert context.run(fastnn.get_backend) is first
    context.run(fastnn.set_backend, NumpyBackend())
    assert fastnn.get_backend() is second


def test_one_backend_is_made_however_many_threads_ask(fresh: None) -> None:
    barrier = threading.Barrier(8)

    def ask(_: int) -> int:
        barrier.wait(10)
        return id(fastnn.get_backend())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


# Networks


def test_a_network_keeps_its_backend(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 4, 4, 0.5, seed=0)
    expected = backend.to_numpy(network.predict(batch.x))
    other = fastnn.set_backend(NumpyBackend())
    assert TwoLayerNet(2, 2, 2).backend is other
    assert network.backend is backend
    np.testing.assert_array_equal(backend.to_numpy(network.predict(batch.x)), expected)
    fastnn.fit(network, batch.x, batch.t, batch_size=3, progress=False)
    assert network.backend is backend
    assert all(backend.owns(array) for array in network.params.values())
    assert network.copy().backend is copy.deepcopy(network).backend is backend


@pytest.mark.gpu
def test_arrays_of_a_library_whose_backend_is_not_loaded_come_home(
    fresh: None, batch: Batch
) -> None:
    cupy = pytest.importorskip("cupy")
    if CupyBackend.unavailable_reason() is not None:
        pytest.skip("there is no device")
    fastnn.set_backend("numpy")
    network = TwoLayerNet(12, 4, 4, 0.5, seed=0)
    x = cupy.asarray(batch.x)
    assert "cupy" not in arrays.loaded
    np.testing.assert_array_equal(fastnn.to_numpy(x), batch.x)
    np.testing.assert_array_equal(network.predict(x), network.predict(batch.x))
    with pytest.raises(TypeError, match="this layer computes on the numpy backend"):
        network.layers["Affine1"].forward(x)


def test_backends_are_never_copied(backend: Backend) -> None:
    own = NumpyBackend()
    for one in (backend, own):
        assert copy.copy(one) is copy.deepcopy(one) is one
    assert pickle.loads(pickle.dumps(backend)) is backend
    with fastnn.use_backend(own):
        network = TwoLayerNet(2, 2, 2)
    assert copy.deepcopy(network).backend is own


def test_a_pickle_of_a_backend_that_cannot_run_falls_back(only: Callable[..., None]) -> None:
    pickled = pickle.dumps(selection.load_backend("numpy")).replace(b"numpy", b"numba")
    only()
    with pytest.warns(BackendFallbackWarning, match="numba backend cannot run here"):
        assert pickle.loads(pickled).name == "numpy"


def trained_elsewhere(network: TwoLayerNet, x: Any, t: Any) -> TwoLayerNet:
    fastnn.fit(network, x, t, batch_size=3, seed=0, progress=False)
    return network


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_networks_go_to_other_processes_and_back(name: str, batch: Batch) -> None:
    with fastnn.use_backend(name):
        network = TwoLayerNet(12, 4, 4, 0.5, seed=0)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        back = pool.submit(trained_elsewhere, network, batch.x, batch.t).result(60)
    assert back.backend is network.backend
    before = {key: array.copy() for key, array in network.params.items()}
    trained_elsewhere(network, batch.x, batch.t)
    for key, array in network.params.items():
        assert np.any(array != before[key])
        np.testing.assert_array_equal(back.params[key], array)
