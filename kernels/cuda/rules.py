"""The update rules of the optimizers, in place, and weight decay: a kernel of CuPy's each.

The rules are those of ``rules.cuh``, which the training step is compiled with as well. Numbers such
as ``lr`` may be arrays () of the device: then a captured step follows a schedule.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from fastnn.kernels.cuda.loading import HERE

Array = Any
Number = Any


class RuleType(NamedTuple):
    """A rule of ``rules.cuh``: its name there, and the names of its numbers, in order."""

    name: str
    numbers: tuple[str, ...]
    states: int


BY_PRIMITIVE = {
    "sgd_update": RuleType("Sgd", ("lr",), 0),
    "momentum_update": RuleType("Momentum", ("lr", "momentum"), 1),
    "nesterov_update": RuleType("Nesterov", ("lr", "momentum"), 1),
    "adagrad_update": RuleType("AdaGrad", ("lr", "epsilon"), 1),
    "rmsprop_update": RuleType("RMSprop", ("lr", "one_minus_decay_rate", "epsilon"), 1),
    "adam_update": RuleType("Adam", ("lr_t", "one_minus_beta1", "one_minus_beta2", "epsilon"), 2),
}
"""By the primitive of a backend that does the same."""


def update(primitive: str, W: Array, dW: Array, *state: Array, **numbers: Number) -> None:
    """Do what the primitive of a rule does; W, dW and state of one shape and dtype."""
    rule = BY_PRIMITIVE[primitive]
    _update_kernel(primitive)(dW, *(numbers[name] for name in rule.numbers), W, *state)


def decayed_gradient(*, dW: Array, W: Array, weight_decay: Number, out: Array) -> None:
    """See `Backend.decayed_gradient`."""
    code = "out = dW + weight_decay * W"
    _kernel("decayed_gradient", "dW, W, weight_decay", "out", code)(dW, W, weight_decay, out)


def decay_weights(*, W: Array, lr: Number, weight_decay: Number) -> None:
    """See `Backend.decay_weights`."""
    _kernel("decay_weights", "lr, decay", "W", "W -= lr * decay * W")(lr, weight_decay, W)


@functools.cache
def _update_kernel(primitive: str) -> Any:
    name, numbers, states = BY_PRIMITIVE[primitive]
    state = [f"state{i}" for i in range(states)]
    code = "\n".join(
        [
            f"const T numbers[] = {{{', '.join(numbers)}}};",
            f"T state[] = {{{', '.join([*state, 'T(0)'])}}};",
            f"{name}<T> rule(numbers);",
            "rule(W, dW, state);",
            *(f"state{i} = state[{i}];" for i in range(states)),
        ]
    )
    preamble = (HERE / "rules.cuh").read_text(encoding="utf-8")
    return _kernel(primitive, ", ".join(["dW", *numbers]), ", ".join(["W", *state]), code, preamble)


@functools.cache
def _kernel(name: str, reads: str, changes: str, code: str, preamble: str = "") -> Any:
    import cupy

    typed = [", ".join(f"T {each}" for each in names.split(", ")) for names in (reads, changes)]
    return cupy.ElementwiseKernel(*typed, code, f"fastnn_{name}", preamble=preamble)
