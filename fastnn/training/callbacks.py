"""Callbacks of `fit`: what they are, and what they may return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from fastnn.nn.sequential import Sequential
from fastnn.training.history import History
from fastnn.training.state import Training
from fastnn.wording import shown

CallbackFunction = Callable[[Sequential, History], object]
"""Called after each epoch. It may change the parameters and the optimizer's learning rate; if it
returns what is true, training ends."""

CHANGES, LOOKS, SAVES = range(3)


class Callback:
    """What `fit` calls while it trains. Override what is wanted; nothing else is called.

    A function of (network, history) is called after each epoch, as `on_epoch_end` is.

    Attributes
    ----------
    every_steps : int or None
        After how many steps `on_step_end` is called, each time; None for never. A class that has
        the method may set another number than 1, and so may an object before `fit` has it.

    Notes
    -----
    After a step the network is made whole, its loss is brought to the host, and copies of its
    parameters are shown: with an `on_step_end` steps are no longer compiled or captured many in a
    call, and a step of the book's network takes several times as long. `every_steps` divides that.
    Without one, callbacks cost nothing in a step. The parameters have the same bits, always.

    References
    ----------
    The names are those of Keras and of Hugging Face's Trainer.

    Examples
    --------
    >>> class Print(fastnn.Callback):
    ...     def on_epoch_end(self, training):
    ...         print(training.history.epochs, training.history.losses[-1])
    """

    every_steps: int | None = 1
    _turn: ClassVar[int] = CHANGES
    """Whose turn it is first: those that may change the network, then those of fastnn's that only
    look at it, which are shown no copies, then those that save all that the others have done."""

    def on_train_begin(self, training: Training) -> None:
        """Do something before the first step; of a training that is resumed, before the next."""

    def on_step_end(self, training: Training) -> object:
        """Do something after each step, or each `every_steps`; what is true ends the training."""

    def on_epoch_end(self, training: Training) -> object:
        """Do something after each epoch, and its evaluation; what is true ends the training."""

    def on_train_end(self, training: Training) -> None:
        """Do something at the end, also after Ctrl-C; not after an error.

        It is called of the last callback first, as contexts are left. The network may be changed.
        """

    def state_dict(self) -> Mapping[str, Any]:
        """Give what a checkpoint is to hold: arrays of float32 or float64, and values for JSON."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; called before `on_train_begin`, if there was any."""


class Function(Callback):
    """A function of (network, history), called after each epoch."""

    def __init__(self, function: CallbackFunction) -> None:
        self.function = function

    def on_epoch_end(self, training: Training) -> object:
        """Call it."""
        return self.function(training.network, training.history)


def check_callbacks(callbacks: object) -> list[Callback]:
    """Give callbacks as objects, in the order of their turns."""
    some: list[Any] = list(callbacks) if isinstance(callbacks, Iterable) else [None]
    if not all(isinstance(one, Callback) or callable(one) for one in some):
        raise TypeError(
            "callbacks must be a list of functions of (network, history), or of objects of "
            f"fastnn.Callback, got {shown(callbacks)}"
        )
    for one in some:
        if isinstance(one, type) and issubclass(one, Callback):
            raise TypeError(f"callbacks have the class {one.__name__} itself: make an object of it")
    objects = [one if isinstance(one, Callback) else Function(one) for one in some]
    return sorted(objects, key=lambda one: one._turn)


def has(callback: Callback, method: str) -> bool:
    """Whether a callback has a method of its own."""
    return getattr(type(callback), method) is not getattr(Callback, method)


def is_true(callback: Callback, result: Any) -> bool:
    """Whether what a callback returned means that training is to end."""
    try:
        return bool(result)
    except ValueError as error:  # an array of several entries
        called = callback.function if isinstance(callback, Function) else callback
        name = getattr(called, "__name__", type(called).__name__)
        raise TypeError(
            f"callback {name} returned a {type(result).__name__} that is neither true nor false "
            f"({error}): return True to end the training, else None"
        ) from error
