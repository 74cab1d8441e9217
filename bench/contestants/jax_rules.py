"""The update rules of the contestants from JAX, each as a function to be compiled with the step.

A rule has the state to begin with, and gives new parameters and state.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp


def sgd(params: Any, grads: Any, state: Any, lr: Any) -> tuple[Any, Any]:
    return jax.tree.map(lambda p, g: p - lr * g, params, grads), state


def momentum(params: Any, grads: Any, state: Any, lr: Any) -> tuple[Any, Any]:
    v = jax.tree.map(lambda v, g: 0.9 * v - lr * g, state, grads)
    return jax.tree.map(jnp.add, params, v), v


def adam(params: Any, grads: Any, state: Any, lr: Any) -> tuple[Any, Any]:
    m, v, t = state
    t = t + 1
    lr_t = lr * jnp.sqrt(-jnp.expm1(t * math.log(0.999))) / -jnp.expm1(t * math.log(0.9))
    m = jax.tree.map(lambda m, g: m + 0.1 * (g - m), m, grads)
    v = jax.tree.map(lambda v, g: v + 0.001 * (g * g - v), v, grads)
    new = jax.tree.map(lambda p, m, v: p - lr_t * m / (jnp.sqrt(v) + 1e-7), params, m, v)
    return new, (m, v, t)


def initial_state(rule: str, params: Any) -> Any:
    """Give the state of a rule before its first step."""
    if rule == "SGD":
        return None
    zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
    return zeros[0] if rule == "Momentum" else (*zeros, jnp.zeros((), params["W1"].dtype))


RULES = {"SGD": sgd, "Momentum": momentum, "Adam": adam}
