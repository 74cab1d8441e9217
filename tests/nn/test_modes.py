"""Training and evaluation: layers that differ between the two, such as the book's of chapter 6."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, Relu, Sequential, check_gradients, fit
from fastnn.nn.modes import training_forward
from tests.helpers.layers import SquaredError
from tests.helpers.problems import Batch, relative_error


class Dropout:
    """Drops units in training; in evaluation scales all by the fraction that is kept."""

    def __init__(self, ratio: float = 0.5, seed: int | None = 0) -> None:
        self.ratio = ratio
        self.generator = np.random.default_rng(seed)

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if not train_flg:
            return x * (1 - self.ratio)
        self.mask = self.generator.random(x.shape) > self.ratio
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class BatchNormalization:
    """Normalises by the batch in training, by running means in evaluation."""

    parameters = ("gamma", "beta")

    def __init__(self, gamma: Any, beta: Any, momentum: float = 0.9) -> None:
        self.gamma, self.beta, self.momentum = gamma, beta, momentum
        self.mean: Any = None
        self.variance: Any = None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if self.mean is None:
            self.mean, self.variance = 0 * x[0], 0 * x[0] + 1
        if not train_flg:
            return self.gamma * (x - self.mean) / (self.variance + 1e-6) ** 0.5 + self.beta
        mean, variance = x.mean(axis=0), x.var(axis=0)
        self.mean = self.momentum * self.mean + (1 - self.momentum) * mean
        self.variance = self.momentum * self.variance + (1 - self.momentum) * variance
        self.deviation = (variance + 1e-6) ** 0.5
        self.normal = (x - mean) / self.deviation
        return self.gamma * self.normal + self.beta

    def backward(self, dout: Any) -> Any:
        self.dgamma, self.dbeta = (dout * self.normal).sum(axis=0), dout.sum(axis=0)
        dnormal = dout * self.gamma
        along = (dnormal * self.normal).mean(axis=0)
        return (dnormal - dnormal.mean(axis=0) - self.normal * along) / self.deviation


def deep(*between: Any) -> Sequential:
    """Two Affine layers, and these layers between them."""
    rng = np.random.default_rng(3)
    W1, W2 = rng.standard_normal((12, 6)) / 3, rng.standard_normal((6, 4))
    return Sequential([Affine(W1, np.zeros(6)), *between, Relu(), Affine(W2, np.zeros(4))])


def normalised() -> Sequential:
    return deep(BatchNormalization(np.linspace(0.5, 1.5, 6), np.linspace(-0.1, 0.1, 6)))


@pytest.fixture(params=["numpy", "numba"], autouse=True)
def host(request: pytest.FixtureRequest) -> Any:
    """Both engines whose arrays are NumPy's, which these layers are written for."""
    if not fastnn.available_backends()[request.param].usable:
        pytest.skip(f"{request.param} cannot run here")
    with fastnn.use_backend(request.param):
        yield request.param


def by_hand(network: Sequential, x: Any) -> Any:
    """Evaluate layer by layer, with the mode given where the layer has one."""
    for layer in network.layers.values():
        modal = isinstance(layer, Dropout | BatchNormalization)
        x = layer.forward(x, train_flg=False) if modal else layer.forward(x)
    return x


@pytest.mark.parametrize("make", [lambda: deep(Dropout()), normalised])
def test_evaluation_is_evaluation(make: Callable[[], Sequential]) -> None:
    batch = Batch(60, 12, 4)
    network = make()
    history = fit(
        network, batch.x, batch.t, epochs=8, batch_size=20, seed=1, progress=False,
        validation=(batch.x[:30], batch.t[:30]),
    )  # fmt: skip
    scores = by_hand(network, batch.x.astype("float64"))
    np.testing.assert_allclose(network.predict(batch.x), scores, rtol=0, atol=1e-12)
    one_by_one = np.stack([network.predict(x) for x in batch.x])
    np.testing.assert_allclose(one_by_one, scores, rtol=0, atol=1e-12)
    right = scores.argmax(axis=1) == batch.t
    assert network.accuracy(batch.x, batch.t) == right.mean() == history.train_accuracies[-1]
    assert history.validation_accuracies[-1] == right[:30].mean()
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(60), batch.t]
    assert network.loss(batch.x, batch.t) == pytest.approx(losses.mean())


def test_training_is_training() -> None:
    batch = Batch(20, 12, 4)
    network = normalised()
    assert network.loss(batch.x, batch.t) != network.loss(batch.x, batch.t, train_flg=True)
    x = network.layers["Affine1"].forward(batch.x.astype("float64"))
    mean = 0.1 * x.mean(axis=0)  # of one batch that was trained on, after momentum
    np.testing.assert_allclose(network.layers["BatchNormalization1"].mean, mean)
    scores = network.predict(batch.x, train_flg=True)
    assert relative_error(scores, network.predict(batch.x)) > 0.01
    twin = network.copy()
    gradients = twin.gradient(batch.x, batch.t)
    loss = network.copy().loss(batch.x, batch.t, train_flg=True)
    history = fit(
        network, batch.x, batch.t, batch_size=20, optimizer=SGD(0.5), seed=0, progress=False
    )
    assert history.losses == [pytest.approx(loss)]
    for name, before in twin.params.items():
        np.testing.assert_allclose(
            network.params[name], before - 0.5 * gradients[name], rtol=0, atol=1e-12
        )


def test_gradients_are_those_of_training(host: str) -> None:
    batch = Batch(9, 12, 4)
    network = normalised()
    numerical = network.numerical_gradient(batch.x, batch.t)
    for name, gradient in network.gradient(batch.x, batch.t).items():
        np.testing.assert_allclose(gradient, numerical[name], rtol=1e-6, atol=1e-8)
    # b1, in front of the normalisation, has no gradient: what is left of it is rounding.
    assert np.max(np.abs(numerical["b1"])) < 1e-10
    report = check_gradients(network, batch.x, batch.t, backends=[host])
    assert report.passed, str(report)


def test_what_draws_at_random_is_not_checked() -> None:
    batch = Batch(9, 12, 4)
    network = deep(Dropout())
    with pytest.raises(ValueError, match=r"'Dropout1' \(Dropout\) gives another output each time"):
        network.numerical_gradient(batch.x, batch.t)
    with pytest.raises(ValueError, match="Dropout1"):
        check_gradients(network, batch.x, batch.t, backends=["numpy"])
    keeping = deep(Dropout(0.0))
    assert check_gradients(keeping, batch.x, batch.t, backends=["numpy"]).passed


class Told:
    """Remembers the modes that it was told."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        self.told.append(train_flg)
        return x

    def backward(self, dout: Any) -> Any:
        return dout


def test_who_is_told_what() -> None:
    batch = Batch(8, 12, 4)
    network = deep(told := Told())

    def told_by(call: Callable[..., Any], *arguments: Any, **options: Any) -> list[bool]:
        told.told.clear()
        call(*arguments, **options)
        return told.told

    assert told_by(network.predict, batch.x) == [False]
    assert told_by(network.predict, batch.x, True) == [True]
    assert told_by(network.predict, batch.x, np.True_) == [True]
    assert told_by(network.accuracy, batch.x, batch.t) == [False]
    assert told_by(network.loss, batch.x, batch.t) == [False]
    assert told_by(network.loss, batch.x, batch.t, train_flg=True) == [True]
    assert told_by(network.gradient, batch.x, batch.t) == [True]
    options: dict[str, Any] = {"batch_size": 4, "progress": False}
    steps = [told for told in told_by(fit, network, batch.x, batch.t, **options) if told]
    assert steps == [True, True]
    evaluated: list[bool] = []

    def record(network: Sequential, _: Any) -> None:
        told.told.clear()
        network.predict(batch.x)
        evaluated.extend(told.told)

    fit(network, batch.x, batch.t, callbacks=[record], **options)
    assert evaluated == [False]


class InPosition(Told):
    def forward(self, x: Any, train_flg: bool = True, /) -> Any:
        return super().forward(x, train_flg)


class ByKeyword(Told):
    def forward(self, x: Any, *, train_flg: bool = False) -> Any:  # type: ignore[override]
        return super().forward(x, train_flg)


class AnyKeyword(Told):
    def forward(self, x: Any, **options: Any) -> Any:  # type: ignore[override]
        return super().forward(x, options.get("train_flg", "not told"))


class Reversed(Told):
    def forward(  # type: ignore[override]
        self, x: Any, scale: float = 1.0, train_flg: bool = True
    ) -> Any:
        assert scale == 1.0
        return super().forward(x, train_flg)


def announced(forward: Any) -> Any:
    @functools.wraps(forward)
    def run(*arguments: Any, **options: Any) -> Any:
        return forward(*arguments, **options)

    return run


def announced_by_position(forward: Any) -> Any:
    @functools.wraps(forward)
    def run(*arguments: Any) -> Any:
        return forward(*arguments)

    return run


def in_silence(forward: Any) -> Any:
    def run(*arguments: Any, **options: Any) -> Any:
        return forward(*arguments, **options)

    return run


class Announced(Told):
    forward = announced(Told.forward)


class AnnouncedByPosition(Told):
    forward = announced_by_position(Told.forward)


class InSilence(Told):
    forward = in_silence(Told.forward)


class CallableForward(Told):
    """`forward` is an object that can be called, and has no hash."""

    class Forward:
        __hash__: Any = None

        def __init__(self, told: list[bool]) -> None:
            self.told = told

        def __call__(self, x: Any, train_flg: bool = True) -> Any:
            self.told.append(train_flg)
            return x

    def __init__(self) -> None:
        super().__init__()
        self.forward = self.Forward(self.told)  # type: ignore[method-assign]


class Derived(Relu):
    """One of fastnn's layers with a mode."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[bool] = []

    def forward(self, x: Any, train_flg: bool = True) -> Any:  # type: ignore[override]
        self.told.append(train_flg)
        return super().forward(x)


@pytest.mark.parametrize(
    "kind",
    [
        InPosition, ByKeyword, AnyKeyword, Reversed, Announced, AnnouncedByPosition, InSilence,
        CallableForward, Derived,
    ],
)  # fmt: skip
def test_however_a_layer_takes_the_mode(kind: Any, batch: Batch) -> None:
    network = deep(layer := kind())
    network.predict(batch.x)
    network.gradient(batch.x, batch.t)
    network.loss(batch.x, batch.t)
    assert layer.told == [False, True, False]
    layer.told.clear()
    fit(network, batch.x, batch.t, batch_size=7, progress=False)
    assert layer.told.count(True) == 1
    assert training_forward(layer).__self__ is layer


class Modeless:
    """Knows of no mode, whatever its `forward` looks like."""

    calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return 2 * x

    def backward(self, dout: Any) -> Any:
        return 2 * dout


class ModelessAnnounced(Modeless):
    forward = announced(Modeless.forward)


class ModelessInSilence(Modeless):
    forward = in_silence(Modeless.forward)


class ModelessInC(Modeless):
    """`forward` is a function of C, which tells nothing of its parameters."""

    forward = staticmethod(np.positive)  # type: ignore[assignment]


class Frozen(Told):
    """The user has chosen a mode."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = functools.partial(super().forward, train_flg=False)  # type: ignore[method-assign]


class Handing(Modeless):
    """Hands everything on to a layer inside."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def forward(self, *arguments: Any, **options: Any) -> Any:
        return self.inner.forward(*arguments, **options)

    def backward(self, dout: Any) -> Any:
        return self.inner.backward(dout)


@pytest.mark.parametrize("kind", [ModelessAnnounced, ModelessInSilence, ModelessInC])
def test_layers_without_a_mode_are_called_as_ever(kind: Any, batch: Batch) -> None:
    network, expected = deep(kind()), deep(*[Modeless()] * (kind is not ModelessInC))
    for _ in range(2):
        assert relative_error(network.predict(batch.x), expected.predict(batch.x)) == 0
    if kind is not ModelessInC:
        assert network.layers[f"{kind.__name__}1"].calls == 2
        gradients = network.gradient(batch.x, batch.t)
        for name, right in expected.gradient(batch.x, batch.t).items():
            assert relative_error(gradients[name], right) == 0


def test_a_mode_that_was_chosen_stays(batch: Batch) -> None:
    network = deep(layer := Frozen())
    network.gradient(batch.x, batch.t)
    assert layer.told == [False]


def test_layers_inside_of_others(batch: Batch) -> None:
    """One function hands on to layers with a mode and without."""
    network = deep(Handing(Modeless()), Handing(told := Told()))
    network.predict(batch.x)
    network.gradient(batch.x, batch.t)
    network.predict(batch.x)
    assert told.told == [False, True, False]


def test_an_error_of_the_layer_is_not_hidden(batch: Batch) -> None:
    class Wrong(Told):
        def forward(self, x: Any, **options: Any) -> Any:  # type: ignore[override]
            raise TypeError("unsupported operand")

    with pytest.raises(TypeError, match="unsupported operand"):
        deep(Wrong()).predict(batch.x)


class ErrorWithMode(SquaredError):  # noqa: N818 - no exception
    """A last layer with a mode."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def forward(self, x: Any, t: Any, train_flg: bool = True) -> Any:
        self.told.append(train_flg)
        return super().forward(x, t)


def test_a_last_layer_with_a_mode(batch: Batch) -> None:
    network = Sequential([Affine(np.ones((12, 2)), np.zeros(2))], layer := ErrorWithMode())
    t = np.zeros((7, 2))
    network.loss(batch.x, t)
    network.gradient(batch.x, t)
    fit(network, batch.x, t, batch_size=7, progress=False)
    assert layer.told == [False, True, True]


def test_a_gradient_by_hand_as_in_the_book(batch: Batch) -> None:
    network = deep()
    network.loss(batch.x, batch.t)
    dout = network.lastLayer.backward(1)
    for layer in reversed(network.layers.values()):
        dout = layer.backward(dout)
    gradients = network.gradient(batch.x, batch.t)
    np.testing.assert_array_equal(network.layers["Affine1"].dW, gradients["W1"])
    scores = network.predict(batch.x, train_flg=True)
    network.layers["Affine2"].backward(np.ones_like(scores))
    fresh = deep()
    fresh.predict(batch.x)
    with pytest.raises(RuntimeError, match=r"predict\(x, train_flg=True\)"):
        fresh.layers["Affine2"].backward(np.ones_like(scores))
