"""A training under way, as its callbacks see it and as a checkpoint holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fastnn.nn.optimizer import Optimizer
from fastnn.nn.sequential import Sequential
from fastnn.training.history import History
from fastnn.training.optimizer_numbers import numbers_of


class Stateful(Protocol):
    """What has a state that a checkpoint is to hold."""

    def state_dict(self) -> Mapping[str, Any]:
        """Give it."""


@dataclass
class Training:
    """What `fit` hands to the methods of a `Callback`.

    Attributes
    ----------
    network : Sequential
        With whole steps taken. A callback may change its parameters.
    optimizer : Optimizer
        Its numbers, such as `lr`, may be changed, and so may its state.
    history : History
        So far.
    epochs, batch_size, samples : int
        How many epochs are to be trained in all, and of which batches and data set; 0 samples
        where the batches come one after the other.
    scale : float
        What inputs are multiplied by.
    sample_shape : tuple of int
        Of one input.
    data_dtype : str
        Of the inputs, as they are kept.
    validated : bool
        Whether there are validation data.
    weighted : bool
        Whether the samples have weights.
    order : numpy.random.Generator
        What the batches are drawn by.
    callbacks : sequence of Callback
        All of them, in the order of their turns.
    measure : {"accuracy", "R2"} or None
        What is evaluated after each epoch, besides the loss of the validation data.
    ended : bool
        Whether a callback has ended the training.
    epoch_is_open : bool
        Whether all steps of an epoch were taken, and its evaluation is to come.
    numbers_at_first : dict of str to Any
        What the optimizer was made with, whatever callbacks make of it.
    """

    network: Sequential
    optimizer: Optimizer
    history: History
    epochs: int
    batch_size: int
    samples: int
    scale: float
    sample_shape: tuple[int, ...]
    data_dtype: str
    validated: bool
    weighted: bool
    order: np.random.Generator
    callbacks: Sequence[Stateful] = ()
    measure: str | None = None
    ended: bool = False
    epoch_is_open: bool = False
    numbers_at_first: Mapping[str, Any] = field(init=False, repr=False)
    _before_epoch: Mapping[str, Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers_at_first = numbers_of(self.optimizer)

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return len(self.history.losses)

    @property
    def closed_epochs(self) -> int:
        """Epochs that are over: all steps taken, evaluated, and callbacks called."""
        return self.history.epochs - self.epoch_is_open

    @property
    def steps_in_epoch(self) -> int:
        """Steps taken in the epoch that is under way; 0 between two."""
        begun = self.history.epoch_steps[self.closed_epochs :]
        return begun[0] if begun else 0

    def draw_order(self) -> np.ndarray[Any, Any]:
        """Draw the order of the samples of an epoch; of one that is under way give the rest."""
        self._before_epoch = self.order.bit_generator.state
        return self.order.permutation(self.samples)[self.steps_in_epoch * self.batch_size :]

    def state_of_order(self) -> Mapping[str, Any]:
        """Give the state of the generator from which `draw_order` goes on here."""
        return self._before_epoch if self.steps_in_epoch else self.order.bit_generator.state

    def terms(self) -> dict[str, Any]:
        """Describe data set and batches as values for JSON: what goes on must have the same."""
        return {
            "samples": self.samples,
            "shape of a sample": list(self.sample_shape),
            "batch_size": self.batch_size,
            "scale": self.scale,
            "validation": self.validated,
            "sample_weight": self.weighted,
            "dtype": self.network.dtype,
            "dtype of x": self.data_dtype,
            "weight_decay_lambda": float(self.network.weight_decay_lambda),
        }
