"""The optimizers beside PyTorch's, where that is installed: 50 steps in float64, rule by rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn

torch = pytest.importorskip("torch")
STEPS = 50


def sgd(parameters: Any, **options: Any) -> Any:
    return torch.optim.SGD(parameters, lr=0.05, **options)


PAIRS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "SGD": (fastnn.SGD, sgd),
    "Momentum": (fastnn.Momentum, lambda p, **o: sgd(p, momentum=0.9, **o)),
    "Nesterov": (fastnn.Nesterov, lambda p, **o: sgd(p, momentum=0.9, nesterov=True, **o)),
    "AdaGrad": (fastnn.AdaGrad, lambda p, **o: torch.optim.Adagrad(p, lr=0.05, eps=1e-7, **o)),
    "RMSprop": (fastnn.RMSprop, lambda p, **o: torch.optim.RMSprop(p, lr=0.05, eps=1e-7, **o)),
    "Adam": (fastnn.Adam, lambda p, **o: torch.optim.Adam(p, lr=0.05, **o)),
    "AdamW": (fastnn.AdamW, lambda p, **o: torch.optim.AdamW(p, lr=0.05, **o)),
}


@pytest.mark.parametrize("rule", PAIRS)
@pytest.mark.parametrize("clip_norm", [None, 0.7])
@pytest.mark.parametrize("weight_decay", [0.0, 0.02])
def test_pytorch_gives_the_same(
    rule: str, clip_norm: float | None, weight_decay: float, rng: np.random.Generator
) -> None:
    """Where its epsilon is made to mean the same; see the docstring of `fastnn.Adam`."""
    make, make_of_torch = PAIRS[rule]
    optimizer = make(0.05, weight_decay=weight_decay, decay_all=True, clip_norm=clip_norm)
    params = {"W": rng.standard_normal((7, 5)), "b": rng.standard_normal(5)}
    of_torch = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in params.items()}
    other = make_of_torch(list(of_torch.values()), weight_decay=weight_decay)
    for step in range(1, STEPS + 1):
        grads = {name: np.sin(3 * W + step / 5) + 0.3 * W for name, W in params.items()}
        for name, parameter in of_torch.items():
            parameter.grad = torch.tensor(grads[name])
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(of_torch.values(), clip_norm)
        if rule in ("Adam", "AdamW"):
            other.param_groups[0]["eps"] = 1e-7 / math.sqrt(1 - 0.999**step)
        optimizer.update(params, grads)
        other.step()
    for name, parameter in of_torch.items():
        np.testing.assert_allclose(params[name], parameter.detach().numpy(), rtol=1e-11, atol=1e-13)


def test_epsilon_is_all_that_differs_in_adam(rng: np.random.Generator) -> None:
    """With gradients of size 1 it is not to be seen."""
    params = {"W": rng.standard_normal(9)}
    parameter = torch.nn.Parameter(torch.tensor(params["W"]))
    optimizer, other = fastnn.Adam(0.01), torch.optim.Adam([parameter], lr=0.01)
    for step in range(STEPS):
        gradient = np.cos(np.arange(9) + step) + 2
        parameter.grad = torch.tensor(gradient)
        optimizer.update(params, {"W": gradient})
        other.step()
    np.testing.assert_allclose(params["W"], parameter.detach().numpy(), rtol=1e-5)
