"""A compiled training step, stage by stage, beside a slow one that anybody can read."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba")

from fastnn.backends.numba import layout as numba_layout
from fastnn.backends.numba import runner as numba_runner
from fastnn.backends.numba.runner import CompiledStep
from tests.helpers.compiled_networks import NETWORKS
from tests.helpers.compiled_training import compiled, data_set, plan_of
from tests.helpers.exhaustive import exhaustive_but
from tests.helpers.problems import relative_error

BOUNDS = {"float32": 2e-6, "float64": 5e-15}
LR = 0.1


class Stages(NamedTuple):
    """What a step computes: each layer's output and the gradient by it, then what is updated."""

    out: list[Any]
    dout: list[Any]
    W: list[Any]
    b: list[Any]
    loss: float


def slow_step(W: list[Any], b: list[Any], x: Any, t: Any) -> Stages:
    """A step of SGD on softmax and cross-entropy, nothing fused and nothing skipped."""
    last, rows = len(W) - 1, np.arange(len(x))
    out: list[Any] = []
    for i in range(len(W)):
        a = (out[-1] if i else x) @ W[i] + b[i]
        out.append(a if i == last else np.maximum(a, 0))
    exp = np.exp(out[last] - out[last].max(axis=1, keepdims=True))
    y = exp / exp.sum(axis=1, keepdims=True)
    loss = -np.log(y[rows, t]).mean()
    y[rows, t] -= 1
    dout = [y / len(x)]
    for i in range(last, 0, -1):
        dout.insert(0, dout[0] @ W[i].T * (out[i - 1] > 0))
    new_W = [W[i] - LR * (out[i - 1] if i else x).T @ dout[i] for i in range(len(W))]
    return Stages(out, dout, new_W, [b[i] - LR * dout[i].sum(axis=0) for i in range(len(W))], loss)


def in_strips(runner: CompiledStep, layer: int, name: str, samples: int) -> Any:
    """The first samples of a layer's ``out`` or ``dout``, read from its strips."""
    record, capacity = runner.layout.records[layer], int(runner.layout.shape["capacity"])
    count, width, start = record["strip_count"], record["strip_width"], record[name]
    strips = runner.layout.memory[start : start + count * capacity * width]
    rows = strips.reshape(count, capacity, width).transpose(1, 0, 2).reshape(capacity, -1)
    return rows[:samples, : record["outputs"]]


@pytest.mark.parametrize("sizes", [*NETWORKS, (784, 50, 10)], ids=str)
@pytest.mark.parametrize("samples", [7, 130])
@pytest.mark.parametrize("way", exhaustive_but(["sparse"], ["sparse", "by feature", "dense"]))
@pytest.mark.parametrize("dtype", exhaustive_but(["float32"], ["float32", "float64"]))
def test_each_stage_of_a_step(
    way: str, samples: int, sizes: tuple[int, ...], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba_runner, "BY_FEATURE_FROM", 1 if way == "by feature" else 1000)
    if way == "by feature":
        monkeypatch.setattr(numba_layout, "ENOUGH_STRIPS", 1)  # it is for a layer of one group
    x, t = data_set(200, sizes[0], sizes[-1], density=1.0 if way == "dense" else 0.2)
    plan = plan_of(sizes, x, t, samples, dtype, "numba")
    layers = range(1, len(sizes))
    W, b = ([plan.arrays[f"{name}{i}"].astype("float64") for i in layers] for name in "Wb")
    runner = compiled(plan)
    assert runner.compressed == (way != "dense")
    if way != "dense":
        assert (runner.room.starts.size > 0) == (way == "by feature")
    rows = np.random.default_rng(5).permutation(200)[:samples]
    losses = runner.run(rows[None], {"lr": LR})
    runner.flush()

    right = slow_step(W, b, plan.arrays["x_data"][rows].astype("float64"), t[rows])
    bound = BOUNDS[dtype]
    assert losses[0] == pytest.approx(right.loss, rel=bound)
    for i in range(len(W)):
        factor = -LR if i == 0 else 1  # the update of the first layer reads it so
        assert relative_error(in_strips(runner, i, "out", samples), right.out[i]) <= bound
        found = in_strips(runner, i, "dout", samples)
        assert relative_error(found, factor * right.dout[i]) <= bound
        assert relative_error(plan.arrays[f"W{i + 1}"], right.W[i]) <= bound
        assert relative_error(plan.arrays[f"b{i + 1}"], right.b[i]) <= bound
