"""What is said of how a network will run, beside how it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.backends.base import Backend
from fastnn.backends.known_parts import PENALTY, WEIGHT_DECAY, KnownParts
from fastnn.backends.selection import load_backend
from fastnn.training.planner import make_chain, make_plan


class Own(fastnn.Optimizer):
    """An optimizer as the book has it."""

    def update(self, params: Any, grads: Any) -> None:
        """Do nothing."""


class Square(fastnn.Layer):
    """A layer of the user's own."""

    def forward(self, x: Any) -> Any:
        """Square."""
        return x * x

    def backward(self, dout: Any) -> Any:
        """Any."""
        return dout


def network_of(backend: Backend, **options: Any) -> fastnn.Sequential:
    with fastnn.use_backend(backend):
        return fastnn.MultiLayerNet(6, [5, 4], 3, seed=0, **options)


def test_it_is_the_decision_that_fit_takes(backend: Backend) -> None:
    x = backend.asarray(np.zeros((20, 6), "float32"))
    t = backend.asarray(np.zeros(20, "int64"))
    networks = [
        network_of(backend),
        network_of(backend, activation="tanh"),
        network_of(backend, use_batchnorm=True, use_dropout=True),
        network_of(backend, weight_decay_lambda=0.1),
    ]
    optimizers = [fastnn.SGD(), fastnn.AdamW(), fastnn.Adam(clip_norm=1.0), Own()]
    for network in networks:
        for optimizer in optimizers:
            found = fastnn.explain(network, optimizer)
            runner = backend.compile(make_plan(network, x, t, optimizer, 10))
            step = type(getattr(runner, "step", runner)).__name__
            expected = {
                "NoneType": ("loop",),
                "CompiledStep": ("compiled step",),
                "FusedStep": ("fused",),
                "OpByOpStep": ("captured loop", "loop"),
            }
            assert found.runs in expected[step]
            assert found.backend == backend.name
            has_reason = any(reason for _, reason in found.parts)
            if found.runs in ("compiled step", "fused"):
                assert not has_reason
            else:
                assert has_reason or found.remarks


def test_every_part_has_a_line_and_its_reason() -> None:
    network = network_of(load_backend("numpy"))
    assert str(fastnn.explain(network)) == (
        "numpy: loop\n"
        "  Affine1, Activation_function1 (Relu)  loop\n"
        "  Affine2, Activation_function2 (Relu)  loop\n"
        "  Affine3                               loop\n"
        "  SoftmaxWithLoss                       loop\n"
        "  SGD                                   loop\n"
        "the backend numpy compiles no steps"
    )


def test_reasons_are_in_the_users_words(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load_backend("numpy")
    known = KnownParts("it", ("relu",), ("squared_error",), ("sgd_update",))

    def explain(self: Backend, chain: Any) -> Any:
        from fastnn.backends.known_parts import Course

        return Course("loop", known.reasons(chain), ("as data are",))

    monkeypatch.setattr(type(backend), "explain", explain)
    network = network_of(backend, use_dropout=True, activation="gelu", weight_decay_lambda=0.1)
    found = fastnn.explain(network, fastnn.AdamW(clip_norm=1.0))
    assert found.remarks == ("as data are",)
    reasons = dict(found.parts)
    assert reasons["Dropout1"] == "it does not know Dropout"
    assert reasons["SoftmaxWithLoss"] == (
        "it does not know the loss 'softmax_cross_entropy'; "
        "it does not know the network's weight_decay_lambda"
    )
    assert reasons["AdamW"] == (
        "it does not know the rule 'adam_update'; it does not know its weight_decay; "
        "it does not know its clip_norm"
    )
    first, last = network.layers["Affine1"], network.layers["Affine3"]
    with fastnn.use_backend("numpy"):
        own = fastnn.Sequential([first, Square(), fastnn.Relu(), last])
    assert dict(fastnn.explain(own, Own()).parts) == {
        "Affine1": "",
        "Square1": "it does not know Square",
        "Relu1": "it does not know Relu at this place",
        "Affine2": "it does not know Affine at this place",
        "SoftmaxWithLoss": "it does not know the loss 'softmax_cross_entropy'",
        "Own": "it has an update of its own instead of a rule",
    }


def test_decay_of_a_choice_of_parameters() -> None:
    """It is known of all weights and of all parameters; any other choice runs in the loop."""

    class Chosen(fastnn.SGD):
        names: tuple[str, ...] = ()

        def decays(self, name: Any) -> bool:
            return name in self.names

    known = KnownParts(
        "it", ("relu",), ("softmax_cross_entropy",), ("sgd_update",), (WEIGHT_DECAY, PENALTY)
    )
    network = network_of(load_backend("numpy"))
    every = tuple(network.params)
    optimizer = Chosen(weight_decay=0.1)
    for names, right in ((every, True), (every[::2], True), (every[1:], False), (every[:1], False)):
        optimizer.names = names
        reasons = known.reasons(make_chain(network, optimizer, flat=True))
        assert [part for part, _ in reasons] == [] if right else ["Chosen"]
    with fastnn.use_backend("numpy"):
        own = fastnn.Sequential([fastnn.Relu(), network.layers["Affine1"]])
    own.weight_decay_lambda = 0.1
    assert known.reasons(make_chain(own, fastnn.SGD(), flat=False))[-1].part == "SoftmaxWithLoss"


def test_what_fit_refuses_is_refused() -> None:
    with pytest.raises(TypeError, match="optimizer must be one of fastnn's"):
        fastnn.explain(network_of(load_backend("numpy")), 0.1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="network must be one of fastnn's"):
        fastnn.explain([fastnn.Relu()])  # type: ignore[arg-type]
