"""The layers of a step that runs as a whole: Affine layers, each with what goes before the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fastnn.backends.plan import Activation, Block, Operation


@dataclass(frozen=True)
class Stage:
    """An Affine layer and what its output goes through.

    Attributes
    ----------
    affine : Block
    normalisation : Block or None
        Batch normalisation of its output.
    dropout : Operation or None
        What the output of all that goes through at last.
    """

    affine: Block
    normalisation: Block | None = None
    dropout: Operation | None = None

    @property
    def activation(self) -> Activation | None:
        """What the sums go through, normalised or not."""
        return (self.normalisation or self.affine).activation

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the parameters that have a number for each unit: b; gamma, beta."""
        behind = () if self.normalisation is None else self.normalisation.parameters
        return (*self.affine.parameters[1:], *behind)


def stages_of(blocks: Iterable[Block]) -> tuple[Stage, ...]:
    """Put the blocks of a chain together, of which `KnownParts` knows all."""
    stages: list[Stage] = []
    for block in blocks:
        if block.is_affine:
            stages.append(Stage(block))
        elif block.normalises:
            stages[-1] = replace(stages[-1], normalisation=block)
        else:
            stages[-1] = replace(stages[-1], dropout=block.operation)
    return tuple(stages)
