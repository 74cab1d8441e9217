"""Sums over the samples: as exact as NumPy's, from one sample to a whole data set.

The yardstick is the formula over NumPy in the same dtype, its products and sums by NumPy
itself; both are compared with float64 (with longdouble, float64). A parameter is rounded once a
step, which is in both errors and hides smaller ones where the rate is small.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.backends import selection
from fastnn.backends.loop import Loop
from fastnn.backends.numba import layout as numba_layout
from fastnn.backends.numba import runner as numba_runner
from tests.helpers.compiled_training import compiled, plan_of
from tests.helpers.exhaustive import exhaustive_but

TIMES = 4
"""How much larger than NumPy's an error may be."""

FLOOR = 5e-7
"""Relative error that may be passed all the same: NumPy's is smaller only by chance."""

BATCHES = [
    *(1, 2, 4, 7, 100, 128, 129, 512, 513, 1500, 20_000),
    pytest.param(200_000, marks=pytest.mark.exhaustive),
]
RATES = (1e-6, 1e-3, 1.0)
BOUNDS = {"float64": 1e-12, "float32": 2e-6}
KINDS = ("bytes", "sparse", "few", "dense", "alike")
NETWORKS = ((40, 20, 5), (30, 12), (24, 70, 40, 3))
WAYS_AND_KINDS = exhaustive_but(
    [("by feature", "bytes"), ("compiled", "alike"), ("loop", "dense")],
    itertools.product(("compiled", "by feature", "loop"), KINDS),
)


def data_set(kind: str, samples: int, features: int, classes: int) -> tuple[Any, Any]:
    """Inputs, and labels that follow from them as far as such labels can."""
    rng = np.random.default_rng(samples)
    x = rng.random((samples, features), dtype="float32")
    t = np.argmax(x[:, :classes], axis=1)
    if kind == "alike":  # each is rounded the same way
        return np.tile(x[:1] - np.float32(0.5), (samples, 1)), np.tile(t[:1], samples)
    if kind == "dense":
        return x, t
    if kind == "few":  # entries, less than one for each feature unless the batch is large
        return np.where(x < 0.02, 50 * x, 0), t
    x = np.where(x < 0.2, 5 * x, 0)
    return (x, t) if kind == "sparse" else ((255 * x).astype("uint8"), t)


def step_by_formula(arrays: dict[str, Any], x: Any, t: Any, dtype: str) -> dict[str, Any]:
    """The loss and the gradients, in NumPy and `dtype`."""
    count = sum(name[0] == "W" for name in arrays)
    W = [arrays[f"W{i}"].astype(dtype) for i in range(1, count + 1)]
    b = [arrays[f"b{i}"].astype(dtype) for i in range(1, count + 1)]
    outputs = [x.astype(dtype)]
    for i in range(count):
        a = outputs[-1] @ W[i] + b[i]
        outputs.append(np.maximum(a, 0) if i < count - 1 else a)
    s = outputs[-1] - outputs[-1].max(axis=1, keepdims=True)
    e = np.exp(s)
    total = e.sum(axis=1, keepdims=True)
    samples = np.arange(len(t))
    result = {"loss": np.mean(np.log(total[:, 0]) - s[samples, t])}
    dout = e / total
    dout[samples, t] -= 1
    dout /= len(t)
    for i in reversed(range(count)):
        result[f"W{i + 1}"] = outputs[i].T @ dout
        result[f"b{i + 1}"] = dout.sum(axis=0)
        dout = (dout @ W[i].T) * (outputs[i] > 0)
    return result


def largest(array: Any) -> float:
    return float(np.max(np.abs(array)))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("way", "kind"), WAYS_AND_KINDS)
def test_an_update_is_as_exact_as_numpys(
    way: str, kind: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "by feature":
        monkeypatch.setattr(numba_runner, "BY_FEATURE_FROM", 1)
        monkeypatch.setattr(numba_layout, "ENOUGH_STRIPS", 1)
    backend = selection.load_backend("numba")
    for sizes in NETWORKS if batch < 20_000 else NETWORKS[:1]:
        x, t = data_set(kind, batch, sizes[0], sizes[-1])
        plan = plan_of(sizes, x, t, batch, "float32", "numba")
        names = [name for name in plan.arrays if name not in ("x_data", "t_data")]
        before = {name: plan.arrays[name].copy() for name in names}
        exact = step_by_formula(before, x, t, "float64")
        numpys = step_by_formula(before, x, t, "float32")
        runner = Loop(backend, plan) if way == "loop" else compiled(plan)
        for lr in RATES:
            for name in names:
                plan.arrays[name][...] = before[name]
            runner.reload()
            loss = runner.run(np.arange(batch)[None], {"lr": lr})[0]
            runner.flush()
            error = abs(loss - exact["loss"])
            allowed = max(abs(numpys["loss"] - exact["loss"]), FLOOR / TIMES * exact["loss"])
            assert error <= TIMES * allowed, (sizes, lr, error / exact["loss"])
            for name in names:
                was = before[name].astype("float64")
                update = -lr * exact[name]
                error = largest(plan.arrays[name] - was - update)
                theirs = before[name] - np.float32(lr) * numpys[name]
                allowed = max(largest(theirs - was - update), FLOOR * largest(update))
                assert error <= TIMES * allowed, (sizes, lr, name, error / largest(update))


def batch_norm(backend: Any, x: Any) -> list[tuple[Any, Any]]:
    """What batch normalisation sums over the samples, beside what is right."""
    wide, units = x.astype("longdouble"), x.shape[1]
    shifted, gamma = (30 + x).astype(x.dtype), np.ones(units, x.dtype)
    _, xn, std, mean, var = backend.batch_norm(shifted, gamma, gamma)
    xc = shifted - shifted.mean(axis=0, dtype="longdouble")
    dx, dgamma, dbeta = backend.batch_norm_backward(x, gamma, xn, std)
    wide_xn = xn.astype("longdouble")
    right_dgamma, right_dbeta = (wide * wide_xn).sum(axis=0), wide.sum(axis=0)
    along = wide_xn * (right_dgamma / len(x))
    return [
        (mean, shifted.mean(axis=0, dtype="longdouble")),
        (var, (xc**2).mean(axis=0)),
        (dgamma, right_dgamma),
        (dbeta, right_dbeta),
        (std * dx + along, wide - right_dbeta / len(x)),
    ]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_gradients_are_within_the_bound_of_primitives(name: str, batch: int, dtype: str) -> None:
    """Which is relative to the largest entry, as in `test_primitives`."""
    backend, rng = selection.load_backend(name), np.random.default_rng(batch)
    for density, outputs in ((0.1, 17), (1.0, 17), (1.0, 3)):
        x = np.where(rng.random((batch, 30)) < density, rng.random((batch, 30)), 0).astype(dtype)
        W, dout = (
            rng.standard_normal(shape).astype(dtype) for shape in ((30, outputs), (batch, outputs))
        )
        losses = np.abs(dout[:, 0]) + 1
        _, dW, db = backend.affine_backward(dout, x, W, input_gradient=False)
        wide = dout.astype("longdouble")
        for found, right in (
            (dW, x.T.astype("float64") @ dout.astype("float64")),
            (db, wide.sum(axis=0)),
            (backend.mean(losses), losses.astype("longdouble").mean()),
            *batch_norm(backend, dout),
        ):
            assert largest(found - right) <= BOUNDS[dtype] * largest(right)
