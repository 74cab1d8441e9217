"""What a run of ``fastnn train`` is started with, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastnn import SGD, MultiLayerNet, Optimizer
from fastnn.nn.optimizer_names import optimizer_class

RATE_OF_SGD = 0.1
"""The book's, in chapters 4 and 5; `SGD` by itself has that of chapter 6."""


@dataclass(frozen=True)
class Settings:
    """What a run was started with, and is gone on with. Of the command line: see its help."""

    backend: str | None
    epochs: int
    batch_size: int | None
    optimizer: str
    lr: float | None
    weight_decay: float
    hidden: str
    activation: str
    init: str | None
    dropout: float
    batch_norm: bool
    dtype: str
    seed: int | None
    data: str | None

    def network(self, units: Sequence[int]) -> MultiLayerNet:
        """Make the network of these sizes: features, hidden units, classes."""
        return MultiLayerNet(
            units[0],
            units[1:-1],
            units[-1],
            activation=self.activation,
            weight_init_std=self._initial(len(units)),
            use_dropout=self.dropout > 0,
            dropout_ratio=self.dropout,
            use_batchnorm=self.batch_norm,
            dtype=self.dtype,
            seed=self.seed,
        )

    def make_optimizer(self) -> Optimizer:
        """Make the optimizer."""
        kind: Callable[..., Optimizer] = optimizer_class(self.optimizer)
        options: dict[str, Any] = {}
        if self.lr is not None or kind is SGD:
            options["lr"] = RATE_OF_SGD if self.lr is None else self.lr
        if self.weight_decay:
            options["weight_decay"] = self.weight_decay
        return kind(**options)

    def _initial(self, layers: int) -> str | float:
        if self.init is None:  # deeper networks do not learn from the book's 0.01
            return 0.01 if layers == 3 else "relu"
        try:
            return float(self.init)
        except ValueError:
            return self.init
