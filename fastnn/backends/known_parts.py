"""Which parts of a chain an engine runs as a whole, and why it leaves the others to the loop.

An engine states once what it knows, as `KnownParts`. Whether a plan is compiled and what
`fastnn.explain` says of a network both follow from that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fastnn.backends.plan import Block, Chain, LayerCalls, Rule, StepPlan
from fastnn.checks import dtype_name

WEIGHT_DECAY, PENALTY, CLIPPING = "weight decay", "penalty", "clipping"
SAMPLE_WEIGHTS = "sample weights"
"""What a step has besides its layers, loss and rule."""


class Reason(NamedTuple):
    """Why a chain does not run as a whole.

    part : str
        A label in the chain: `Block.label`, `Chain.loss_label` or `Chain.update_label`; ``x`` and
        ``t`` for the data set; empty if it is the engine itself.
    sentence : str
        What stands in the way, to be read behind "because".
    """

    part: str
    sentence: str


@dataclass(frozen=True)
class Course:
    """How an engine runs a chain.

    Attributes
    ----------
    name : {"compiled step", "fused", "captured loop", "loop"}
    reasons : tuple of Reason
        Why it is none of those before it in this list.
    data : tuple of str
        Sentences on what is decided when the data set and the size of a batch are known.
    """

    name: str
    reasons: tuple[Reason, ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class KnownParts:
    """What the step of an engine can be put together from.

    Attributes
    ----------
    step : str
        What it is called in messages, such as "the compiled step".
    activations, losses, rules : collection of str
        By their primitives.
    normalises : bool
        Whether an Affine layer may have batch normalisation right behind it.
    extras : collection of str
        Which of `WEIGHT_DECAY`, `PENALTY`, `CLIPPING` and `SAMPLE_WEIGHTS`.
    drops : bool
        Whether dropout may stand between an Affine layer, or its activation, and the next one.
    """

    step: str
    activations: Collection[str]
    losses: Collection[str]
    rules: Collection[str]
    extras: Collection[str] = ()
    normalises: bool = False
    drops: bool = False

    def reasons(self, chain: Chain) -> tuple[Reason, ...]:
        """Say what of a chain is not known; nothing if all is."""
        reasons = [*self._of_layers(chain), *self._of_loss(chain), *self._of_update(chain)]
        if not chain.blocks:
            reasons.append(Reason("", "there is no layer"))
        return tuple(reasons)

    def reasons_of_data(self, plan: StepPlan) -> tuple[Reason, ...]:
        """Say what of a plan's arrays does not fit."""
        x, t = plan.arrays["x_data"], plan.arrays["t_data"]
        reasons = []
        if x.ndim != 2:
            reasons.append(Reason("x", f"x has shape {tuple(x.shape)}, and not (K, D)"))
        targets: tuple[tuple[int, ...], str] = (), "int64"
        if plan.chain.loss != "softmax_cross_entropy":
            targets = (plan.chain.blocks[-1].units,), plan.dtype
        if (tuple(t.shape[1:]), dtype_name(t)) != targets:
            shape = ", ".join(["K", *map(str, targets[0])])
            reasons.append(
                Reason("t", f"t is {dtype_name(t)} {tuple(t.shape)}, not {targets[1]} ({shape})")
            )
        parameters = [plan.arrays[name] for name in plan.chain.parameters]
        if len(set(map(id, parameters))) < len(parameters):
            reasons.append(Reason("", "two parameters are one array"))
        return tuple(reasons)

    def _of_layers(self, chain: Chain) -> Iterator[Reason]:
        blocks = chain.blocks
        beside = zip((None, *blocks), blocks, (*blocks[1:], None), strict=False)
        for before, block, behind in beside:
            unknown = self._unknown_layer(before, block, behind)
            if unknown:
                yield Reason(block.label, f"{self.step} does not know {unknown}")

    def _unknown_layer(self, before: Block | None, block: Block, behind: Block | None) -> str:
        """Name what is not known of a block, given those beside it."""
        if block.layer is not None:
            return block.layer.name + ("" if block.layer.users_own else " at this place")
        unknown = self._unknown_operation(before, block, behind)
        if unknown:
            return unknown
        if block.activation is not None and block.activation.name not in self.activations:
            return f"the activation {block.activation.name!r}"
        return ""

    def _unknown_operation(self, before: Block | None, block: Block, behind: Block | None) -> str:
        """Name what is not known of batch normalisation or dropout."""
        if block.operation is None:
            return ""
        label = block.operation.label
        if not (self.normalises if block.normalises else self.drops):
            return label
        if block.drops and before is None:
            return f"{label} of the inputs"
        fits = _is_between(before, behind) if block.drops else _is_behind_sums(before, block)
        return "" if fits else f"{label} at this place"

    def _of_loss(self, chain: Chain) -> Iterator[Reason]:
        label = chain.loss_label
        if isinstance(chain.loss, LayerCalls):
            yield Reason(label, f"{chain.loss.name} takes part by methods of its own")
        elif chain.loss not in self.losses:
            yield Reason(label, f"{self.step} does not know the loss {chain.loss!r}")
        if chain.weighted and SAMPLE_WEIGHTS not in self.extras:
            yield Reason(label, f"{self.step} does not know sample_weight")
        if chain.penalty is None:
            return
        if PENALTY not in self.extras:
            yield Reason(label, f"{self.step} does not know the network's weight_decay_lambda")
        elif set(chain.penalty.parameters) != _weights(chain):
            yield Reason(
                label, "weight_decay_lambda is not of the weights of all Affine layers alone"
            )

    def _of_update(self, chain: Chain) -> Iterator[Reason]:
        label = chain.update_label
        if not isinstance(chain.update, Rule):
            yield Reason(label, "it has an update of its own instead of a rule")
        elif chain.update.primitive not in self.rules:
            yield Reason(label, f"{self.step} does not know the rule {chain.update.primitive!r}")
        if chain.decayed and WEIGHT_DECAY not in self.extras:
            yield Reason(label, f"{self.step} does not know its weight_decay")
        elif chain.decayed and set(chain.decayed) not in (_weights(chain), set(chain.parameters)):
            yield Reason(label, "weight_decay is of neither all weights alone nor all parameters")
        if chain.clips and CLIPPING not in self.extras:
            yield Reason(label, f"{self.step} does not know its clip_norm")


def _weights(chain: Chain) -> set[str]:
    """Name the weights of the Affine layers."""
    return {block.parameters[0] for block in chain.blocks if block.is_affine}


def _is_behind_sums(before: Block | None, block: Block) -> bool:
    """Whether a block is right behind an Affine layer, and has as many units."""
    return (
        before is not None
        and before.is_affine
        and before.activation is None
        and before.units == block.units
    )


def _is_between(before: Block | None, behind: Block | None) -> bool:
    """Whether what is in between has an Affine layer, normalised or not, before and behind it."""
    layer = before is not None and (before.is_affine or before.normalises)
    return layer and behind is not None and behind.is_affine
