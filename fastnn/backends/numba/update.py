"""The update of a chain as a rule of the compiled step, and the numbers that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.base import CLIP_EPSILON, EPSILON
from fastnn.backends.plan import Chain, Numbers, Rule
from fastnn.kernels.cpu import rules


def rule_of(chain: Chain, dtype: Any) -> Any:
    """Put the rule of a chain together, for its type: all its numbers are zero."""
    assert isinstance(chain.update, Rule)
    zero = dtype.type(0)
    kind: Any = rules.BY_NAME[chain.update.primitive]
    rule = kind(*[zero] * len(kind._fields))
    if chain.decayed:
        every = set(chain.decayed) == set(chain.parameters)
        if chain.update.decouples_decay:
            rule = (rules.DecoupledAll if every else rules.Decoupled)(rule, zero, zero)
        else:
            rule = (rules.DecayedAll if every else rules.Decayed)(rule, zero)
    if chain.clips:
        rule = rules.Clipped(rule, zero, zero)
    if chain.penalty is None:
        return rule
    if chain.penalty.times == 1:
        return rules.Penalised(rule, zero)
    return rules.PenalisedMore(rule, zero, zero)


def numbers_of(
    rule: Any, chain: Chain, hyperparameters: Mapping[str, Numbers], steps: int, dtype: Any
) -> Array:
    """Give what a rule reads in each step, a row for each, as `rules.rule_at` takes it."""
    columns = [
        np.broadcast_to(np.asarray(number, dtype), steps)
        for number in _numbers(rule, chain, hyperparameters)
    ]
    return np.stack(columns, axis=1)


def _numbers(rule: Any, chain: Chain, hyperparameters: Mapping[str, Numbers]) -> Iterator[Numbers]:
    for name, field in zip(rule._fields, rule, strict=True):
        if name == "rule":
            yield from _numbers(field, chain, hyperparameters)
        elif name == "epsilon":
            yield hyperparameters.get("epsilon", EPSILON)
        elif name == "clip_epsilon":
            yield CLIP_EPSILON
        elif isinstance(rule, rules.PENALTIES):
            assert chain.penalty is not None
            fixed = chain.penalty.weight_decay
            of_steps = hyperparameters["weight_decay"] if fixed is None else fixed
            yield chain.penalty.times if name == "times" else of_steps
        else:
            yield hyperparameters[name]
