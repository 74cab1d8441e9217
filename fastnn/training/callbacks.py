"""Callbacks of `fit`: what they are, and what they may return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from typing import Any, ClassVar

from fastnn.checks import unfit_for
from fastnn.nn.sequential import Sequential
from fastnn.training.history import History
from fastnn.training.state import Training
from fastnn.wording import a_kind, did_you_mean, shown

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

    def _check(self, training: Training) -> None:
        """Refuse a training that the callback cannot serve, before anything is done."""

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
    wanted = (
        "callbacks must be a list of functions of (network, history), or of objects of "
        "fastnn.Callback"
    )
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        alone = isinstance(callbacks, Callback) or callable(callbacks)
        given = a_kind(callbacks) if alone else shown(callbacks)
        raise TypeError(f"{wanted}, got {given}{': write callbacks=[...]' if alone else ''}")
    some: list[Any] = list(callbacks)
    for number, one in enumerate(some):
        if isinstance(one, type) and issubclass(one, Callback):
            raise TypeError(f"callbacks have the class {one.__name__} itself: make an object of it")
        if not isinstance(one, Callback) and not callable(one):
            raise TypeError(f"{wanted}, and callbacks[{number}] is {shown(one)}")
    objects = [one if isinstance(one, Callback) else Function(one) for one in some]
    for each in objects:
        _check_called(each)
    return sorted(objects, key=lambda one: one._turn)


METHODS = {
    "on_train_begin": ("training",),
    "on_step_end": ("training",),
    "on_epoch_end": ("training",),
    "on_train_end": ("training",),
    "state_dict": (),
    "load_state_dict": ("state",),
}
"""What is called of a callback, and with what."""


def _check_called(callback: Callback) -> None:
    """Refuse what `fit` could not call, and methods that are meant for it and called otherwise."""
    if isinstance(callback, Function):
        _check_takes(callback.function, name_of(callback), ("network", "history"))
        return
    kind = type(callback).__name__
    for method, arguments in METHODS.items():
        _check_takes(getattr(callback, method), f"{kind}.{method}", arguments)
    for method in sorted(set(dir(callback)) - METHODS.keys()):
        nearest = did_you_mean(method, METHODS) if method.startswith("on_") else ""
        if nearest:
            known = ", ".join(name for name in METHODS if name.startswith("on_"))
            raise TypeError(f"{kind}.{method} is called by nothing: fit calls {known}{nearest}")


def _check_takes(function: Callable[..., Any], name: str, arguments: tuple[str, ...]) -> None:
    problem = unfit_for(function, arguments)
    if problem is not None:
        raise TypeError(
            f"callback {name}{signature(function)} is not to be called as fit calls it, with "
            f"({', '.join(arguments)}): {problem}"
        )


def name_of(callback: Callback) -> str:
    """Name a callback as its user knows it."""
    called = callback.function if isinstance(callback, Function) else callback
    return str(getattr(called, "__name__", type(called).__name__))


def has(callback: Callback, method: str) -> bool:
    """Whether a callback has a method of its own."""
    return getattr(type(callback), method) is not getattr(Callback, method)


def is_true(callback: Callback, result: Any) -> bool:
    """Whether what a callback returned means that training is to end."""
    try:
        return bool(result)
    except ValueError as error:  # an array of several entries
        raise TypeError(
            f"callback {name_of(callback)} returned a {type(result).__name__} that is neither true "
            f"nor false ({error}): return True to end the training, else None"
        ) from error
