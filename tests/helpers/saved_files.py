"""Saved networks that were damaged, and a process that is killed while it saves."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
import tracemalloc
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

import fastnn
from fastnn import CorruptFileError, MultiLayerNet, Sequential, TwoLayerNet
from fastnn.nn.storage import FORMAT, digest_of
from tests.helpers.mutations import mutated

with fastnn.use_backend("numpy"):
    NETWORK = TwoLayerNet(3, 2, 2, 0.5, seed=1)


def parameters(network: Sequential) -> dict[str, Any]:
    return {name: fastnn.to_numpy(array) for name, array in network.params.items()}


def assert_same(one: Sequential, other: Sequential) -> None:
    left, right = parameters(one), parameters(other)
    assert list(left) == list(right)
    for name, array in left.items():
        assert array.dtype == right[name].dtype
        assert array.tobytes() == right[name].tobytes()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def load_damaged(path: Path, content: bytes, seed: int) -> bool:
    """Load a damaged file: True if it gives what was saved, False if the documented error."""
    path.write_bytes(mutated(content, np.random.default_rng(seed)))
    network = NETWORK.copy()
    network.params["W1"] += 1
    before = network.copy()
    tracemalloc.start()
    try:
        loaded, found = Sequential.load(path), network.load(path)
    except CorruptFileError as error:
        loaded, found, message = None, before, str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2**20, seed
    assert_same(network, found)
    if loaded is None:
        assert path.name in message
        return False
    assert_same(loaded, NETWORK)
    assert_same(network, NETWORK)
    return True


def crafted(arrays: dict[str, Any], described: dict[str, Any]) -> bytes:
    """Make a file whose digest is right and whose content is not."""
    text = json.dumps({**described, "sha256": digest_of(arrays, described)})
    return safetensors.numpy.save(arrays, {FORMAT: text})


def load_crafted(path: Path, seed: int) -> bool:
    """Load a file whose digest is right, of layers, shapes and dtypes by chance.

    True if that gives a network, which then computes; False if it gives the documented error.
    """
    rng = np.random.default_rng(seed)
    arrays, described = crafted_layers(rng)
    path.write_bytes(crafted(arrays, described))
    load = [Sequential.load, MultiLayerNet.load, TwoLayerNet.load][rng.integers(3)]
    try:
        network, message = load(path), ""
    except ValueError as error:
        network, message = None, str(error)
    if network is None:
        assert path.name in message, seed
        return False
    if arrays:
        shapes = [array.shape for array in network.params.values()]
        x, classes = np.ones((2, shapes[0][0])), shapes[-1][0]
        assert network.predict(x).shape == (2, classes), seed
        assert network.gradient(x, [0, 0]).keys() == network.params.keys(), seed
    return True


NUMBERS: dict[str, dict[str, Any]] = {
    "Affine": {}, "Relu": {}, "Scale": {}, "LeakyRelu": {"slope": 0.1},
    "Dropout": {"ratio": 0.5, "key": 3, "draws": 4}, "BatchNormalization": {"momentum": 0.9},
}  # fmt: skip
"""What layers of each kind are made with."""

NO_NUMBERS = [-1, 1, 0.5, 2**80, 1e300, float("nan"), "1", None, True, [1]]


def crafted_layers(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays by name, and the description of layers that have them, all by chance."""
    layers: list[list[str]] = []
    arrays: dict[str, Any] = {}
    numbers: dict[str, Any] = {}
    width = int(rng.integers(1, 4))
    chances = [0.5, 0.2, 0.05, 0.05, 0.1, 0.1]
    for kind in rng.choice(list(NUMBERS), rng.integers(0, 5), p=chances).tolist():
        name = f"layer {rng.integers(20)}"
        count = 1 + sum(other == kind for _, other in layers)
        layers.append([name, kind])
        shapes: dict[str, tuple[int, ...]] = {}
        if kind == "Affine":
            M = int(rng.integers(1, 4))
            shapes = {f"W{count}": (width, M), f"b{count}": (M,)}
            width = M
        elif kind == "BatchNormalization":
            names = f"gamma{count}", f"beta{count}", f"{name}.running_mean", f"{name}.running_var"
            shapes = dict.fromkeys(names, (width,))
        for array, shape in shapes.items():
            shape = tuple(rng.integers(0, 4, rng.integers(0, 4))) if rng.random() < 0.03 else shape
            dtype = str(rng.choice(KINDS)) if rng.random() < 0.03 else "float32"
            arrays[array] = np.ones(shape, dtype)
        numbers[name] = dict(NUMBERS[kind])
        for number in numbers[name]:
            if rng.random() < 0.1:
                numbers[name][number] = NO_NUMBERS[rng.integers(len(NO_NUMBERS))]
    if arrays and rng.random() < 0.05:
        arrays["more"] = next(iter(arrays.values()))
    last = "SoftmaxWithLoss" if rng.random() < 0.95 else "Other"
    described: dict[str, Any] = {"last_layer": last, "layers": layers}
    if rng.random() < 0.9:
        described["numbers"] = {name: some for name, some in numbers.items() if some}
    return arrays, described


KINDS = ["bool", "uint8", "int8", "uint16", "int64", "uint64", "float16"]
if [int(part) for part in version("safetensors").split(".")[:2]] >= [0, 7]:
    KINDS.append("complex64")  # which older ones do not write


def killed_while_saving(path: Path, kills: int, seed: int = 0) -> int:
    """Kill as many processes that save over `path`; give how many of them left something behind.

    Each of them saves one network and another in turn, so that what is found is one of the two.
    """
    script = """
        import sys
        import fastnn
        fastnn.set_backend("numpy")
        networks = [fastnn.TwoLayerNet(300, 50, 10, seed=seed) for seed in (1, 2)]
        while True:
            for network in networks:
                network.save(sys.argv[1])
                print("saved", flush=True)
        """
    with fastnn.use_backend("numpy"):
        networks = [TwoLayerNet(300, 50, 10, seed=seed) for seed in (1, 2)]
    rng, left = np.random.default_rng(seed), 0
    for _ in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(path)], stdout=subprocess.PIPE
        ) as saver:
            assert saver.stdout is not None
            assert saver.stdout.readline() == b"saved\n"
            time.sleep(rng.uniform(0, 0.03))
            saver.kill()
        left += len(names(path.parent)) - 1
        loaded = Sequential.load(path)
        same = [
            all(np.array_equal(array, network.params[name]) for name, array in parameters.items())
            for network in networks
            for parameters in [dict(loaded.params)]
        ]
        assert sum(same) == 1
    networks[0].save(path)
    assert names(path.parent) == [path.name]
    assert_same(Sequential.load(path), networks[0])
    return left
