"""The network of a workload in JAX: its loss as a function of parameters and batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from workload import Workload

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": lambda x: jnp.maximum(x, 0),
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}


def mean_loss(
    params: Any, averages: Any, x: jax.Array, t: jax.Array, masks: Sequence[Any], workload: Workload
) -> tuple[jax.Array, Any]:
    """Mean cross-entropy with index labels, and the running averages of batch normalisation."""
    followed = []
    last = len(workload.layers) - 1
    for number in range(1, last):
        x = x @ params[f"W{number}"] + params[f"b{number}"]
        if workload.normalised:
            mean, var = x.mean(axis=0), x.var(axis=0)
            xn = (x - mean) * jax.lax.rsqrt(var + 1e-6)
            x = params[f"gamma{number}"] * xn + params[f"beta{number}"]
            old_mean, old_var = averages[number - 1]
            followed.append((0.9 * old_mean + 0.1 * mean, 0.9 * old_var + 0.1 * var))
        x = ACTIVATIONS[workload.activation](x)
        if workload.dropout:
            x = jnp.where(masks[number - 1], x, 0)
    scores = x @ params[f"W{last}"] + params[f"b{last}"]
    right = jnp.take_along_axis(scores, t[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(scores, axis=1) - right), followed
