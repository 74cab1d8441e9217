"""Numbers of layers that a plan has taken over, so that changing one changes nothing any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastnn.backends.plan import Chain, StepPlan
from fastnn.nn.dropout import Dropout
from fastnn.nn.layer import Layer
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.sequential import Sequential
from fastnn.training.planner import make_chain
from fastnn.wording import shown


class FixedNumbers:
    """What a network and its layers were set to when a plan was made.

    Layers that take part by their methods read their numbers at each call, so those may change.
    """

    def __init__(self, network: Sequential, optimizer: Optimizer, plan: StepPlan) -> None:
        self._network, self._optimizer, self._plan = network, optimizer, plan
        self._settings = list(_settings(network))
        self._taken = self._taken_over(plan.chain)

    def problem(self) -> RuntimeError | None:
        """Make the error if the plan would have to be another one, and set back what changed."""
        changed = [
            (where, owner, name, before, getattr(owner, name))
            for where, owner, name, before in self._settings
            if _differ(before, getattr(owner, name))
        ]
        if not changed or not _differ(self._taken, self._taken_now()):
            return None
        for _, owner, name, before, _ in changed:
            setattr(owner, name, before)
        said = ", ".join(
            f"{where}.{name} from {shown(before)} to {shown(now)}"
            for where, _, name, before, now in changed
        )
        return RuntimeError(
            f"a callback changed {said}: training goes by what was there when it began, so set it "
            "before you call fit, or between two calls"
        )

    def _taken_now(self) -> tuple[object, ...] | None:
        """Give what a plan would take over now; None where there can be none."""
        flat, weighted = self._plan.arrays["x_data"].ndim == 2, self._plan.chain.weighted
        try:
            chain = make_chain(self._network, self._optimizer, flat=flat, weighted=weighted)
        except Exception:  # callbacks may set anything
            return None
        return self._taken_over(chain)

    def _taken_over(self, chain: Chain) -> tuple[object, ...]:
        """Give what of a chain comes from numbers of layers and of the network, or is a loss."""
        layers = [(block.activation, block.operation) for block in chain.blocks]
        loss = chain.loss if isinstance(chain.loss, str) else self._network.last_layer
        return layers, chain.penalty, loss


def _differ(one: object, other: object) -> bool:
    try:
        return one is not other and bool(one != other)
    except Exception:  # of arrays, and of whatever else a callback may set
        return True


def _settings(network: Sequential) -> Iterator[tuple[str, Any, str, Any]]:
    """Give where each setting is, in words, its owner, its name there and its value."""
    for key, layer in network.layers.items():
        names = type(layer).options if isinstance(layer, Layer) else ()
        if isinstance(layer, Dropout):
            names = (*names, "key", "held")
        for name in names:
            yield str(key), layer, name, getattr(layer, name)
    for name in ("weight_decay_lambda", "last_layer"):
        yield "network", network, name, getattr(network, name)
