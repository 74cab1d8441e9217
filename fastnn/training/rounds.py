"""When which callbacks are called: before a training, after steps, after epochs, at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastnn.checks import check_count
from fastnn.training.callbacks import CHANGES, Callback, has, is_true
from fastnn.training.interruption import Interruption
from fastnn.training.state import Training


class Rounds:
    """The callbacks of a training, and whose turn it is.

    Parameters
    ----------
    callbacks : sequence of Callback
        In the order of their turns.
    training : Training
        What they are given.
    interruption : Interruption
        What a second Ctrl-C cuts them short by.
    """

    def __init__(
        self, callbacks: Sequence[Callback], training: Training, interruption: Interruption
    ) -> None:
        self.callbacks, self.training = callbacks, training
        self._interruption = interruption
        self._after_steps = [
            (check_count(callback.every_steps, f"{type(callback).__name__}.every_steps"), callback)
            for callback in callbacks
            if has(callback, "on_step_end") and callback.every_steps is not None
        ]
        self._after_epochs = [each for each in callbacks if has(each, "on_epoch_end")]

    def steps_until_next(self, step: int) -> int | None:
        """Give how many steps may be taken from `step` on before a callback is due; None: any."""
        left = [every - step % every for every, _ in self._after_steps]
        return min(left) if left else None

    def due_after_step(self, step: int) -> list[Callback]:
        """Name whom to call after so many steps."""
        return [callback for every, callback in self._after_steps if step % every == 0]

    def due_after_epoch(self) -> list[Callback]:
        """Name whom to call after an epoch."""
        return self._after_epochs

    def let_change(self, due: Sequence[Callback], method: str) -> Callable[[], None]:
        """Call those that may change the network; give what takes note of their answers."""
        some = [callback for callback in due if callback._turn == CHANGES]
        answers = [self._call(callback, method) for callback in some]

        def take_note() -> None:
            ends = [is_true(*answered) for answered in zip(some, answers, strict=True)]
            self.training.ended |= any(ends)

        return take_note

    def let_look(self, due: Sequence[Callback], method: str) -> None:
        """Call those that do not change it; what saves is called last, and knows the answers."""
        for callback in due:
            if callback._turn != CHANGES:
                self.training.ended |= is_true(callback, self._call(callback, method))

    def begin(self) -> None:
        """Say that training begins."""
        for callback in self.callbacks:
            self._call(callback, "on_train_begin")

    def end(self) -> None:
        """Say that training has ended, to the last callback first."""
        for callback in reversed(self.callbacks):
            self._call(callback, "on_train_end")

    def _call(self, callback: Callback, method: str) -> Any:
        return self._interruption.call(getattr(callback, method), self.training)


def may_change(due: Sequence[Callback]) -> bool:
    """Whether one of these may change the network."""
    return any(callback._turn == CHANGES for callback in due)
