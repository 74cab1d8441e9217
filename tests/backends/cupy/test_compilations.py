"""Which kernels a network compiles: those that it runs, and none of them within a capture."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.helpers.gpu import run_script, simulator

pytestmark = pytest.mark.gpu

COMPILED = """
    import functools, json, os, cupy, numpy as np, fastnn
    from cupy.cuda import compiler
    from fastnn import BatchNormalization, Dropout, LeakyRelu, Relu, Sequential, Sigmoid
    from fastnn.kernels.cuda import loading
    from fastnn.training.planner import make_plan
    from tests.helpers.gpu import Problem
    cuda = fastnn.set_backend("cupy", strict=True)
    kind = json.loads(os.environ["KIND"])
    problem = Problem(kind["sizes"], 20, data=kind["data"])
    layers = list(problem.network(cuda, "float32").layers.values())
    width = kind["sizes"][1]
    for name in kind["more"]:
        if name == "batch_norm":
            arrays = [cuda.asarray(a.astype("float32")) for a in (np.ones(width), np.zeros(width))]
            layers.insert(1, BatchNormalization(*arrays))
        elif name == "dropout":
            layers.insert(-1, Dropout(0.25, seed=1))
        else:
            layers.append({"relu": Relu, "sigmoid": Sigmoid, "leaky": LeakyRelu}[name]())
    optimizer = getattr(fastnn, kind["rule"])(**kind["options"])
    x, t, rows = (cuda.asarray(array) for array in (problem.x, problem.t, problem.rows))
    few = cupy.ascontiguousarray(rows[:, :7])
    plan = make_plan(Sequential(layers), x, t, optimizer, 20)
    numbers = optimizer.hyperparameters_of_steps(2)

    ours, launched, all_of_them, captured, runner = [], set(), [], [], None
    compile_ours = loading._compiled.__wrapped__
    compile_any = compiler._compile_module_with_cache

    class Seen:
        def __init__(self, which, kernel):
            vars(self).update(which=which, kernel=kernel)

        def __call__(self, *arguments, **options):
            launched.add(self.which)
            self.kernel(*arguments, **options)

        def __getattr__(self, name):
            return getattr(self.kernel, name)

        def __setattr__(self, name, value):
            setattr(self.kernel, name, value)

    def seen(file, name, templates, device):
        ours.append((name, *templates))
        return Seen(ours[-1], compile_ours(file, name, templates, device))

    def any_seen(*arguments, **options):
        all_of_them.append(None)
        if runner is not None and "_stream" in vars(runner) and runner._stream.is_capturing():
            captured.append(arguments[0])
        return compile_any(*arguments, **options)

    loading._compiled = functools.cache(seen)
    compiler._compile_module_with_cache = any_seen
    runner = cuda.compile(plan)
    counts = []
    for some in (rows, rows[:1], few, rows):
        runner.run(some, {name: np.ravel(value)[0] for name, value in numbers.items()})
        counts.append(len(all_of_them))
    assert runner.call_by_call == "" and len(runner.graphs) == 3, runner.call_by_call
    assert captured == []
    assert counts[1] == counts[0] and counts[3] == counts[2], counts
    assert len(set(ours)) == len(ours), ours
    assert set(ours) == launched, set(ours) - launched
    step = type(runner.step).__name__
    print(json.dumps([step, counts[-1], sorted({name for name, *_ in ours})]))
"""

FUSED = {
    "the book's": ([784, 50, 10], "uint8", ["gather_product", "head"]),
    "one layer": ([20, 10], "float32", ["gather_product", "loss"]),
    "three layers": (
        [20, 12, 9, 10], "float32", ["gather_product", "hidden_product", "head", "back"],
    ),
    "a wide last layer": (
        [20, 200, 300], "float32", ["gather_product", "hidden_product", "loss", "back"],
    ),
}  # fmt: skip

OTHERS: dict[str, dict[str, Any]] = {
    "a ReLU behind the last layer": {"more": ["relu"]},
    "bytes": {"more": ["relu"], "data": "uint8"},
    "what layers keep": {"more": ["batch_norm", "dropout", "leaky"]},
    "a rule with state": {"rule": "Adam", "options": {"lr": 0.01}},
    "clipping, decay and an activation": {
        "more": ["sigmoid"], "rule": "AdamW",
        "options": {"lr": 0.01, "weight_decay": 0.01, "clip_norm": 1.0},
    },
}  # fmt: skip


def compiled(**kind: Any) -> tuple[str, int, list[str]]:
    """Name the step of a network, count the kernels that it compiles, and name fastnn's own."""
    whole = {"sizes": [20, 12, 10], "data": "float32", "more": [], "rule": "SGD", "options": {}}
    step, count, names = json.loads(run_script(COMPILED, KIND=json.dumps(whole | kind)))
    return step, count, names


def test_the_fused_step_compiles_what_it_launches() -> None:
    simulator()
    for name, (sizes, data, kernels) in FUSED.items():
        expected = sorted(["begin", *kernels, "update_weights"])
        assert compiled(sizes=sizes, data=data) == ("FusedStep", len(expected), expected), name


def test_nothing_is_compiled_within_a_capture() -> None:
    """Nor in a later call, nor what is not launched."""
    simulator()
    steps = []
    for name, kind in OTHERS.items():
        step, count, ours = compiled(**kind)
        steps.append(step)
        if step == "OpByOpStep":
            assert {"begin", "next_batch", "keep_loss", "take_rows"} <= set(ours), name
            assert count > len(ours), name
    assert "OpByOpStep" in steps
