"""The layers of a compiled step: Affine layers, each with what stands between it and the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastnn.backends.plan import Activation, Block


@dataclass(frozen=True)
class Stage:
    """An Affine layer and what its output goes through.

    Attributes
    ----------
    affine : Block
    normalisation : Block or None
        Batch normalisation of its output.
    """

    affine: Block
    normalisation: Block | None = None

    @property
    def activation(self) -> Activation | None:
        """What is behind both."""
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
        else:
            stages[-1] = Stage(stages[-1].affine, block)
    return tuple(stages)
