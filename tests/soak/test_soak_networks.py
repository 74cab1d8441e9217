"""Random networks: against float64 NumPy and PyTorch, at any number of threads, between pages."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import fastnn
from tests.helpers.random_networks import Reference, case, check_case
from tests.helpers.rounds import rounds

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_random_networks_against_float64(name: str) -> None:
    with fastnn.use_backend(name, strict=True):
        compared = [check_case(seed) for seed in rounds(5000)]
    print(sum(count > 0 for count in compared), "networks,", sum(compared), "figures")


def test_plain_float64_against_torch() -> None:
    """What all is held against is right itself: loss and gradients by another library."""
    torch = pytest.importorskip("torch")

    def tensor(array: Any) -> Any:
        return torch.tensor(array, dtype=torch.float64, requires_grad=True)

    for seed in rounds(5000):
        reference = Reference(case(seed))
        loss, gradients, cancelled = reference.gradient(np.arange(len(reference.x)))
        layers = [part if part == "relu" else [*map(tensor, part)] for part in reference.layers]
        x = torch.tensor(reference.x)
        for layer in layers:
            if layer == "relu":
                x = torch.relu(x)
            else:
                x = x * layer[0] if len(layer) == 1 else x @ layer[0] + layer[1]
        right = torch.nn.functional.cross_entropy(x, torch.tensor(reference.made.t.astype("int64")))
        right.backward()
        assert abs(loss - right.item()) <= 1e-12 * max(1.0, loss), seed
        parameters = [p for layer in layers if layer != "relu" for p in layer]
        for found, parameter, size in zip(gradients, parameters, cancelled, strict=True):
            error = np.abs(found - parameter.grad.numpy()).max()
            assert error <= 1e-12 * max(size, 1e-3), seed


def test_the_bits_do_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    from tests.helpers.random_checks import check_bits

    for seed in rounds(700):
        check_bits(seed, monkeypatch)


@pytest.mark.skipif(sys.platform == "win32", reason="no mprotect here")
@pytest.mark.parametrize("mode", ["start", "end", "checked"])
def test_every_access_is_in_bounds(mode: str) -> None:
    """Between pages that may not be touched, and under Numba's checks: 50 networks a process."""
    pytest.importorskip("numba")
    from tests.helpers.compiled_networks import SCRIPT
    from tests.helpers.kernel_script import run_script

    seeds = rounds(1000)
    environment = {"NUMBA_BOUNDSCHECK": "1"} if mode == "checked" else {}
    for first in range(seeds.start, seeds.stop, 50):
        last = min(first + 50, seeds.stop)
        run_script(SCRIPT, mode, str(first), str(last), **environment)


def test_many_trainings_in_one_process() -> None:
    from tests.helpers.random_checks import check_flat

    check_flat(len(rounds(40_000)), range(25))
