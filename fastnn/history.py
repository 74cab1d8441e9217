"""What training saw, step by step and epoch by epoch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(repr=False)
class History:
    """What `fit` saw.

    Attributes
    ----------
    losses : list of float
        Mean loss of each step's batch, before its update.
    train_accuracies, validation_accuracies : list of float
        After each epoch, of the training data and of the validation data; empty without
        `validation`. They are those of ``network.accuracy``, up to samples whose two largest
        scores differ by rounding alone.
    epoch_seconds : list of float
        Seconds of training in each epoch; evaluation, callbacks and compiling aside.
    compile_seconds : float
        Seconds that compiling kernels took in all of `fit`; 0 where they were there already.
    epochs : int
        Epochs that were finished.
    samples : int
        Samples that were trained on, all epochs together.
    interrupted : bool
        Whether Ctrl-C ended the training.
    """

    losses: list[float] = field(default_factory=list)
    train_accuracies: list[float] = field(default_factory=list)
    validation_accuracies: list[float] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    compile_seconds: float = 0.0
    epochs: int = 0
    samples: int = 0
    interrupted: bool = False

    @property
    def seconds(self) -> float:
        """Seconds of training; evaluation, callbacks and compiling aside."""
        return math.fsum(self.epoch_seconds)

    @property
    def samples_per_second(self) -> float:
        """Samples trained on in a second; 0 before the first."""
        return self.samples / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Give the history as plain values, for JSON, which has None for a loss that is NaN."""
        derived = {"seconds": self.seconds, "samples_per_second": self.samples_per_second}
        losses = [loss if math.isfinite(loss) else None for loss in self.losses]
        return {**asdict(self), "losses": losses, **derived}

    def __repr__(self) -> str:
        """Say in a few lines how it went, however long it was; `as_dict` gives everything."""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        parts = [f"{epochs}, {len(self.losses):,} steps, {self.samples:,} samples"]
        if self.losses:
            parts.append(f"loss from {self.losses[0]:.4g} to {self.losses[-1]:.4g}")
        for name in ("train", "validation"):
            accuracies = getattr(self, f"{name}_accuracies")
            if accuracies:
                parts.append(f"{name} accuracy {accuracies[-1]:.4f}")
        if self.epoch_seconds:
            compiling = f", compiling {self.compile_seconds:.3g} s" if self.compile_seconds else ""
            pace = f"{self.samples_per_second:,.0f} samples a second"
            parts.append(f"{self.seconds:.3g} s{compiling}, {pace}")
        if self.interrupted:
            parts.append("interrupted")
        inside = "\n  ".join(parts)
        return f"<History: {inside}>"
