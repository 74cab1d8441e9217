"""The step plan: what it says of a network, and that run as a loop it is gradient and update."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import (
    SGD,
    Affine,
    BatchNormalization,
    Dropout,
    Gelu,
    MeanSquaredError,
    MultiLayerNet,
    Relu,
    Sequential,
    Sigmoid,
    SigmoidWithLoss,
    Tanh,
    TwoLayerNet,
)
from fastnn.backends import Backend
from fastnn.backends.known_parts import KnownParts
from fastnn.backends.loop import Loop
from fastnn.backends.plan import LayerCalls, Step, StepPlan
from fastnn.training.planner import make_plan
from tests.helpers.layers import Scale, Square, SquaredError, zoo
from tests.helpers.problems import Batch, affine_of, relative_error

LR = 0.25
LOSS = ["softmax_cross_entropy", "mean", "softmax_cross_entropy_backward"]


def plan_of(network: Sequential, x: Any, t: Any, batch_size: int = 5) -> StepPlan:
    backend = network.backend
    return make_plan(network, backend.asarray(x), backend.asarray(t), SGD(LR), batch_size)


def describe(step: Step) -> str:
    options = [name for name, value in step.options.items() if value is True]
    return " ".join([step.primitive, *options])


BACKWARD, FIRST = "affine_backward input_gradient", "affine_backward"
WITH_RELU = "affine_backward relu input_gradient"
PLANS: dict[str, tuple[list[str], list[str]]] = {
    "two layers": (["affine relu", "affine"], [WITH_RELU, FIRST]),
    "deep": (
        ["affine relu", "affine relu", "affine relu", "affine"],
        [WITH_RELU, WITH_RELU, WITH_RELU, FIRST],
    ),
    "linear": (["affine"], [FIRST]),
    "no activation": (["affine", "affine"], [BACKWARD, FIRST]),
    "relu twice": (
        ["affine", "forward", "forward", "affine"], [BACKWARD, "backward", "backward", FIRST],
    ),
    "relu first and last": (
        ["forward", "affine", "forward"], ["backward", BACKWARD, "backward"],
    ),
    "other activations": (
        ["affine", "sigmoid", "affine", "tanh", "affine", "leaky_relu", "affine", "gelu", "affine"],
        [
            BACKWARD, "gelu_backward", BACKWARD, "leaky_relu_backward", BACKWARD, "tanh_backward",
            BACKWARD, "sigmoid_backward", FIRST,
        ],
    ),
    "one hidden unit": (["affine relu", "affine"], [WITH_RELU, FIRST]),
}  # fmt: skip


@pytest.mark.parametrize("name", list(zoo()))
def test_what_the_plan_says(batch: Batch, name: str) -> None:
    network = zoo("float32")[name]
    plan = plan_of(network, batch.x, batch.t)
    forward, backward = PLANS[name]
    updates = ["sgd_update"] * len(network.params)
    assert [describe(step) for step in plan.steps] == [
        "take_rows", "take_rows", *forward, *LOSS, *backward, *updates,
    ]  # fmt: skip
    assert (plan.dtype, plan.batch_size) == ("float32", 5)
    assert [step.reads for step in plan.steps[-len(updates) :]] == [
        (key, f"d{key}") for key in network.params
    ]
    for key, array in network.params.items():
        assert plan.arrays[key] is array
        assert plan.shapes[f"d{key}"] == (array.shape, "float32")


def test_the_plan_of_the_books_network_step_by_step(batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4)
    plan = plan_of(network, batch.x, batch.t)
    assert [(s.primitive, s.reads, s.writes, dict(s.options)) for s in plan.steps] == [
        ("take_rows", ("x_data", "rows"), ("x:0",), {"dtype": "float32", "scale": 1.0}),
        ("take_rows", ("t_data", "rows"), ("t",), {}),
        ("affine", ("x:0", "W1", "b1"), ("x:1",), {"relu": True}),
        ("affine", ("x:1", "W2", "b2"), ("x:2",), {"relu": False}),
        ("softmax_cross_entropy", ("x:2", "t"), ("losses", "y"), {}),
        ("mean", ("losses",), ("loss",), {}),
        ("softmax_cross_entropy_backward", ("y", "t"), ("dout",), {}),
        (
            "affine_backward", ("dout", "x:1", "W2"), ("dx:1", "dW2", "db2"),
            {"relu": True, "input_gradient": True},
        ),
        (
            "affine_backward", ("dx:1", "x:0", "W1"), ("dx:0", "dW1", "db1"),
            {"relu": False, "input_gradient": False},
        ),
        *[("sgd_update", (p, f"d{p}"), (p,), {}) for p in ("W1", "b1", "W2", "b2")],
    ]  # fmt: skip
    assert plan.shapes == {
        "x:0": ((5, 12), "float32"), "x:1": ((5, 6), "float32"), "x:2": ((5, 4), "float32"),
        "y": ((5, 4), "float32"), "dout": ((5, 4), "float32"), "losses": ((5,), "float32"),
        "loss": ((), "float32"), "dx:1": ((5, 6), "float32"),
        "dW1": ((12, 6), "float32"), "db1": ((6,), "float32"),
        "dW2": ((6, 4), "float32"), "db2": ((4,), "float32"),
    }  # fmt: skip
    assert plan.per_sample == {"x:0", "x:1", "x:2", "y", "dout", "losses", "dx:1"}


def test_the_losses_step_by_step(batch: Batch) -> None:
    """Targets are gathered like labels, a loss that keeps nothing is differentiated by scores."""
    for loss, writes, answers in (
        (SigmoidWithLoss(), ("losses", "y"), "y"),
        (MeanSquaredError(), ("losses",), "x:1"),
    ):
        network = Sequential([affine_of(np.ones((12, 4)), np.ones(4))], loss)
        plan = plan_of(network, batch.x, batch.one_hot)
        name = loss.primitive
        assert plan.chain.loss == name
        assert [(s.primitive, s.reads, s.writes, dict(s.options)) for s in plan.steps[1:-3]] == [
            ("take_rows", ("t_data", "rows"), ("t",), {}),
            ("affine", ("x:0", "W1", "b1"), ("x:1",), {"relu": False}),
            (name, ("x:1", "t"), writes, {}),
            ("mean", ("losses",), ("loss",), {}),
            (f"{name}_backward", (answers, "t"), ("dout",), {}),
        ]
        buffers = {"x:0", "x:1", "losses", "loss", "dout", answers, "dW1", "db1"}
        assert plan.shapes.keys() == buffers
        assert plan.per_sample == buffers - {"loss", "dW1", "db1"}
        assert KnownParts("it", (), (name,), ("sgd_update",)).reasons(plan.chain) == ()


def normalised(*activations: Any) -> Sequential:
    """A network with batch normalisation before each of some activations."""
    rng, asarray = np.random.default_rng(2), fastnn.get_backend().asarray
    layers: list[Any] = []
    inputs = 12
    for units, activation in enumerate(activations, 5):
        W, gamma = rng.standard_normal((inputs, units)), rng.uniform(0.5, 1.5, units)
        layers += [affine_of(W, np.zeros(units))]
        layers += [BatchNormalization(*map(asarray, (gamma, gamma - 1))), activation]
        inputs = units
    return Sequential([*layers, affine_of(rng.standard_normal((inputs, 4)), np.zeros(4))])


def test_an_activation_behind_batch_normalization_runs_with_it(batch: Batch) -> None:
    """ReLU is differentiated by the Affine layer behind it, the others by a step of their own."""
    plan = plan_of(normalised(Relu(), Gelu()), batch.x, batch.t)
    blocks = plan.chain.blocks
    names = [block.activation.name if block.activation else None for block in blocks]
    assert names == [None, "relu", None, "gelu", None]
    steps = [(step.primitive, step.reads, step.writes[:1]) for step in plan.steps]
    averages = ["moving_average"] * 2
    assert [describe(step) for step in plan.steps[2:13]] == [
        "affine", "batch_norm", *averages, "relu", "affine", "batch_norm", *averages, "gelu",
        "affine",
    ]  # fmt: skip
    assert steps[3] == ("batch_norm", ("x:1", "gamma1", "beta1"), ("a:2",))
    assert steps[6] == ("relu", ("a:2",), ("x:2",))
    assert [describe(step) for step in plan.steps[16:22]] == [
        BACKWARD, "gelu_backward", "batch_norm_backward", WITH_RELU, "batch_norm_backward", FIRST,
    ]  # fmt: skip
    assert steps[17] == ("gelu_backward", ("dx:4", "a:4"), ("da:4",))
    assert steps[18] == ("batch_norm_backward", ("da:4", "gamma2", "xn:4", "std:4"), ("dx:3",))


def check_loop(network: Sequential, backend: Backend, batch: Batch) -> None:
    """Hold the loop over the plan against the layers' own methods."""
    twin = network.copy()
    plan = plan_of(network, batch.x, batch.t)
    rows = backend.asarray(np.array(BATCHES[:3]))
    losses = backend.to_numpy(Loop(backend, plan).run(rows, {"lr": LR}))
    for some, loss in zip(BATCHES, losses, strict=False):
        right = twin.copy().loss(batch.x[some], batch.t[some], train_flg=True)
        assert float(loss) == pytest.approx(right, rel=1e-12)
        SGD(LR).update(twin.params, twin.gradient(batch.x[some], batch.t[some]))
    for key, array in network.params.items():
        assert relative_error(array, twin.params[key]) <= 1e-11, key


def test_an_activation_behind_batch_normalization_is_trained_through(
    backend: Backend, batch: Batch
) -> None:
    check_loop(normalised(Relu(), Gelu(), Sigmoid()), backend, batch)


def dropping(*activations: Any) -> Sequential:
    """A network with dropout behind each of some activations, or behind nothing."""
    rng = np.random.default_rng(2)
    layers: list[Any] = []
    for units, activation in enumerate(activations, 5):
        inputs = 12 if units == 5 else units - 1
        layers += [affine_of(rng.standard_normal((inputs, units)), np.zeros(units))]
        layers += [] if activation is None else [activation]
        layers += [Dropout(0.3, seed=units)]
    W = rng.standard_normal((4 + len(activations), 4))
    return Sequential([*layers, affine_of(W, np.zeros(4))])


def test_an_activation_before_dropout_runs_with_the_affine_layer(batch: Batch) -> None:
    """ReLU is differentiated by the Affine layer behind the dropout: it is 0 where it was."""
    plan = plan_of(dropping(Relu(), Tanh(), None), batch.x, batch.t)
    names = [block.activation.name if block.activation else None for block in plan.chain.blocks]
    assert names == ["relu", None, "tanh", None, None, None, None]
    assert [describe(step) for step in plan.steps[2:12]] == [
        "affine relu", "dropout", "count", "affine", "tanh", "dropout", "count", "affine",
        "dropout", "count",
    ]  # fmt: skip
    assert [describe(step) for step in plan.steps[16:23]] == [
        BACKWARD, "dropout_backward", BACKWARD, "dropout_backward", "tanh_backward",
        WITH_RELU, "dropout_backward",
    ]  # fmt: skip


def test_an_activation_before_dropout_is_trained_through(backend: Backend, batch: Batch) -> None:
    check_loop(dropping(Relu(), Gelu(), None, Sigmoid()), backend, batch)


def test_a_loss_whose_method_was_replaced_takes_part_by_its_methods(batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4)
    network.lastLayer.forward = network.lastLayer.forward
    loss = plan_of(network, batch.x, batch.t).chain.loss
    assert isinstance(loss, LayerCalls)
    assert (loss.name, loss.users_own) == ("SoftmaxWithLoss", True)


def test_inputs_of_several_axes_are_flattened_once(backend: Backend, batch: Batch) -> None:
    plan = plan_of(TwoLayerNet(12, 6, 4), batch.x.reshape(7, 3, 2, 2), batch.t)
    assert plan.shapes["x:0"][0] == (5, 12)
    assert plan.arrays["x_data"].shape == (7, 12)
    layers = [Relu(), Dropout(), affine_of(np.ones((12, 4)), np.ones(4))]
    plan = plan_of(Sequential(layers), batch.x.reshape(7, 3, 2, 2), batch.t)
    assert plan.shapes["x:0"][0] == (5, 12)
    assert [step.primitive for step in plan.steps[2:6]] == ["forward", "dropout", "count", "affine"]
    plan = plan_of(Sequential([Square(), *layers]), batch.x.reshape(7, 3, 2, 2), batch.t)
    assert plan.shapes["x:0"][0] == (5, 3, 2, 2)


class Doubled(Affine):
    """A layer derived from one of fastnn's, which the plan has to leave to itself."""

    def forward(self, x: Any) -> Any:  # type: ignore[override]  # as users write it
        return 2 * super().forward(x)

    def backward(self, dout: Any, **options: Any) -> Any:
        return super().backward(2 * dout, **options)


def own_layers() -> dict[str, Sequential]:
    """Networks that the plan has no primitive for; for backends whose arrays have ``sum``."""
    rng = np.random.default_rng(1)

    def affine(inputs: int, outputs: int, cls: type[Affine] = Affine) -> Affine:
        W = rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)
        return cls(W, rng.standard_normal(outputs))

    return {
        "scale and square": Sequential(
            [affine(12, 5), Scale(rng.standard_normal(5)), Square(), Relu(), affine(5, 4)]
        ),
        "scale first": Sequential([Scale(rng.standard_normal(12)), affine(12, 4)]),
        "a scalar": Sequential([affine(12, 4), Scale(rng.standard_normal(4))]),
        "derived": Sequential([affine(12, 5, Doubled), Relu(), affine(5, 4, Doubled)]),
        "derived behind": Sequential([affine(12, 5), Relu(), affine(5, 4, Doubled)]),
    }


def run_and_compare(network: Sequential, x: Any, t: Any, batches: list[list[int]]) -> None:
    """Run a loop over the plan, and beside it the book's: gradient, then update."""
    twin = network.copy()
    backend, bound = network.backend, 1e-12 if network.dtype == "float64" else 1e-5
    loop = Loop(backend, plan_of(network, x, t, len(batches[0])))
    for size in dict.fromkeys(map(len, batches)):
        rows = [batch for batch in batches if len(batch) == size]
        losses = loop.run(backend.asarray(np.array(rows)), {"lr": LR})
        loop.flush()
        assert tuple(losses.shape) == (len(rows),)
        for batch, loss in zip(rows, backend.to_numpy(losses), strict=True):
            gradients = twin.gradient(x[batch], t[batch])
            assert float(loss) == pytest.approx(twin.loss(x[batch], t[batch]), rel=bound)
            SGD(LR).update(twin.params, gradients)
    for key, array in network.params.items():
        assert backend.owns(array)
        assert relative_error(array, twin.params[key]) <= bound, key


BATCHES = [[0, 1, 2, 3, 4], [6, 6, 0, 5, 2], [4, 3, 2, 1, 0], [5, 6], [2, 0]]


@pytest.mark.parametrize("name", list(zoo()))
def test_the_plan_run_is_gradient_and_update(
    backend: Backend, dtype: str, batch: Batch, name: str
) -> None:
    run_and_compare(zoo(dtype)[name], batch.x, batch.t, BATCHES)


@pytest.mark.parametrize("name", list(own_layers()))
def test_layers_of_the_users_own_take_part(batch: Batch, name: str) -> None:
    for engine in ("numpy", "numba"):
        with fastnn.use_backend(engine):
            run_and_compare(own_layers()[name], batch.x.astype("float64"), batch.t, BATCHES)


def test_a_loss_of_the_users_own(batch: Batch) -> None:
    t = np.random.default_rng(0).standard_normal((7, 2))
    with fastnn.use_backend("numpy"):
        network = Sequential([Affine(np.ones((12, 2)) / 9, np.zeros(2))], SquaredError())
        run_and_compare(network, batch.x.astype("float64"), t, BATCHES)


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_a_data_set_of_bytes_is_cast_batch_by_batch(
    backend: Backend, batch: Batch, kind: str
) -> None:
    x = (batch.x * 100).astype(kind)
    run_and_compare(TwoLayerNet(12, 6, 4, 0.01, dtype="float64", seed=0), x, batch.t, BATCHES)


def test_buffers_are_allocated_once(
    backend: Backend, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocated: list[tuple[int, ...]] = []

    def counted(shape: tuple[int, ...], dtype: str) -> Any:
        allocated.append(tuple(shape))
        return type(backend).empty(backend, shape, dtype)

    monkeypatch.setattr(backend, "empty", counted)
    plan = plan_of(MultiLayerNet(12, [6, 5], 4, seed=0), batch.x, batch.t)
    loop = Loop(backend, plan)
    assert sorted(allocated) == sorted(shape for shape, _ in plan.shapes.values())
    buffers = dict(loop.buffers)
    allocated.clear()
    losses = loop.run(backend.asarray(np.array([[0, 1, 2, 3, 4]] * 3)), {"lr": LR})
    kept = backend.to_numpy(losses).copy()
    loop.run(backend.asarray(np.array([[5, 6]])), {"lr": LR})
    assert allocated == [(3,), (1,)]  # the losses, which the caller keeps
    np.testing.assert_array_equal(backend.to_numpy(losses), kept)
    assert all(loop.buffers[name] is buffer for name, buffer in buffers.items())


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_the_results_are_written_into_the_buffers(engine: str, batch: Batch) -> None:
    with fastnn.use_backend(engine):
        network = TwoLayerNet(12, 6, 4, 0.5, seed=0)
    expected = network.gradient(batch.x[:5], batch.t[:5])
    loop = Loop(network.backend, plan_of(network, batch.x, batch.t))
    loop.run(np.arange(5)[None, :], {"lr": 0.0})
    for key, gradient in expected.items():
        assert relative_error(loop.buffers[f"d{key}"], gradient) < 1e-6
    np.testing.assert_array_equal(loop.buffers["x:0"], batch.x[:5])
    assert relative_error(loop.buffers["x:2"], network.predict(batch.x[:5])) < 1e-6


def test_the_rate_is_read_at_each_run(batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, dtype="float64", seed=0)
    before = fastnn.to_numpy(network.params["W1"]).copy()
    loop = Loop(network.backend, plan_of(network, batch.x, batch.t))
    rows = network.backend.asarray(np.array([[0, 1, 2, 3, 4]]))
    loop.run(rows, {"lr": 0.0})
    np.testing.assert_array_equal(fastnn.to_numpy(network.params["W1"]), before)
    gradient = fastnn.to_numpy(network.gradient(batch.x[:5], batch.t[:5])["W1"])
    loop.run(rows, {"lr": 2.0})
    assert relative_error(network.params["W1"], before - 2 * gradient) < 1e-12


def test_the_state_of_layers_is_taken_as_the_steps_take_it(backend: Backend) -> None:
    network = MultiLayerNet(6, [5], 4, use_batchnorm=True, seed=0)
    layer = list(network.layers.values())[1]
    assert isinstance(layer, BatchNormalization)
    x, t = np.zeros((4, 6), "float32"), np.zeros(4, "int64")
    layer.running_mean = backend.asarray(np.arange(5.0))
    taken = plan_of(network, x, t).arrays["BatchNorm1.running_mean"]
    assert taken.dtype == layer.gamma.dtype
    np.testing.assert_array_equal(backend.to_numpy(taken), np.arange(5.0))
    layer.running_mean = backend.asarray(np.arange(3.0))
    with pytest.raises(
        ValueError, match=r"BatchNorm1.running_mean has shape .3,., and .* .5,.: set"
    ):
        plan_of(network, x, t)
