"""Batches that come one after the other: a data set that is never there as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fastnn.wording import a_kind, shown

Batch = tuple[Any, Any, Any]
"""Inputs, targets, and weights of samples or None."""


OF_BATCHES = {
    "t": "the batches have their targets, as pairs (x, t)",
    "batch_size": "the batches have their sizes",
    "sample_weight": "give each batch its weights, as triples (x, t, sample_weight)",
    "validation_split": "keep samples apart yourself, and pass them as validation=(x, t)",
}
"""Options of `fit` that are for whole data sets, and what stands for them."""


class Batches:
    """What `batches` makes, and `fit` takes in place of a data set.

    Parameters
    ----------
    source : iterable, or callable
        See `batches`.
    """

    def __init__(self, source: Iterable[Any] | Callable[[], Iterable[Any]]) -> None:
        self.source = source
        if callable(source) and not isinstance(source, Iterable):
            return
        arrays = hasattr(source, "shape") or hasattr(source, "__array__")
        if arrays or not isinstance(source, Iterable) or isinstance(source, Mapping | str | bytes):
            raise TypeError(
                f"batches takes what gives pairs (x, t), as a DataLoader or a list of them, or a "
                f"function that gives such a thing for an epoch, got {shown(source)}"
            )

    def check_options(self, epochs: int, others: Mapping[str, object]) -> None:
        """Refuse options of `fit` that batches say themselves, where these are not None.

        And more than one epoch of what can be gone through but once.
        """
        for name, value in others.items():
            if value is not None:
                raise TypeError(f"{name} was given, and x is {self!r}: {OF_BATCHES[name]}")
        if epochs > 1 and isinstance(self.source, Iterator):
            raise ValueError(
                f"epochs is {epochs}, and {a_kind(self.source)} is used up after one: pass the "
                "function that makes it, fastnn.batches(function), or a list of its batches"
            )

    def steps(self) -> int | None:
        """Tell how many batches there are; None if nobody knows before they have come."""
        try:
            return len(self.source)  # type: ignore[arg-type]
        except (TypeError, NotImplementedError):
            return None

    def epoch(self) -> Iterator[Any]:
        """Begin an epoch."""
        source: Any = self.source
        found = source() if callable(source) and not isinstance(source, Iterable) else source
        if not isinstance(found, Iterable):
            raise TypeError(
                f"the function given to batches must give batches, as a generator does, got "
                f"{shown(found)}"
            )
        return iter(found)

    def __repr__(self) -> str:
        return f"<batches from {a_kind(self.source)}>"


def batches(source: Iterable[Any] | Callable[[], Iterable[Any]]) -> Batches:
    """Make of batches what `fit` trains on: ``fit(network, batches(loader), epochs=5)``.

    So data are trained on that are larger than memory, or made as they are needed. Batches are
    trained on in the order in which they come, of whatever sizes. `fit` checks each as it comes, as
    it checks a data set, and an error names the batch; it brings some of them to the device
    together, `CHUNK_BYTES` or a little more, and keeps none.

    Parameters
    ----------
    source : iterable, or callable
        Gives pairs ``(x, t)``, or triples ``(x, t, sample_weight)``: a DataLoader of PyTorch, a
        list, anything that can be gone through once an epoch. Or a function without arguments that
        gives such a thing, and is called for each epoch: a generator's.

    Returns
    -------
    Batches
        What `fit` takes in the place of `x` and `t`.

    Raises
    ------
    TypeError
        If it gives no batches. What it gives is seen when `fit` begins.

    Examples
    --------
    >>> def from_files():  # doctest: +SKIP
    ...     for path in sorted(Path("parts").glob("*.npz")):
    ...         with np.load(path) as part:
    ...             yield part["x"], part["t"]
    >>> history = fastnn.fit(network, fastnn.batches(from_files), epochs=3)  # doctest: +SKIP
    """
    return Batches(source)


def parts_of(batch: Any, number: int) -> Batch:
    """Give inputs, targets and weights of what a source gave as a batch.

    Raises
    ------
    TypeError
        If it is no pair, and no triple.
    """
    pair = isinstance(batch, tuple | list) and len(batch) in (2, 3)
    if not pair or (isinstance(batch, list) and all(map(np.isscalar, batch))):
        length = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
        raise TypeError(
            f"batch {number} is {a_kind(batch)}{length}: expected a pair (x, t), or a triple (x, "
            "t, sample_weight); a function can make it so, fastnn.batches(lambda: ((batch[...], "
            "batch[...]) for batch in source))"
        )
    x, t, *weights = batch
    return x, t, weights[0] if weights else None
