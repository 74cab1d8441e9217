"""The optimizers by their names, as the book's `Trainer` and the command line take them."""

from __future__ import annotations

from fastnn.nn.optimizer import Optimizer
from fastnn.nn.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop
from fastnn.wording import did_you_mean, shown

OPTIMIZERS: dict[str, type[Optimizer]] = {
    cls.__name__.lower(): cls for cls in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam, AdamW)
}

AS_THE_BOOK_WRITES = {"rmsprpo": "rmsprop"}


def optimizer_class(name: str) -> type[Optimizer]:
    """Give the optimizer of a name, in whatever case.

    Raises
    ------
    ValueError
        If there is none; the message has the nearest name.
    """
    lower = AS_THE_BOOK_WRITES.get(name.lower(), name.lower())
    if lower not in OPTIMIZERS:
        raise ValueError(
            f"optimizer must be one of {', '.join(cls.__name__ for cls in OPTIMIZERS.values())}, "
            f"got {shown(name)}{did_you_mean(name, OPTIMIZERS)}"
        )
    return OPTIMIZERS[lower]
