"""A training step as data, and what runs it: what an engine is given and gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastnn.backends.arrays import Array
from fastnn.backends.stop import Stop


@dataclass(frozen=True)
class Step:
    """One call: ``writes = primitive(*reads, **options, **hyperparameters)``.

    `call` stands in for the primitive where a layer of the user's own does the work.
    """

    primitive: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: tuple[str, ...] = ()
    call: Callable[..., Any] | None = None

    @property
    def in_place(self) -> bool:
        """Whether the step changes what it reads, rather than filling a buffer."""
        return set(self.writes) <= set(self.reads)


@dataclass
class StepPlan:
    """What a backend compiles.

    Attributes
    ----------
    steps : list of Step
        In the order in which they run. They read ``x_data`` and ``t_data`` (the data set),
        ``rows`` (which samples make the batch) and the parameters, and write ``loss``.
    arrays : dict
        The data set, the parameters and the optimizer's state, by name.
    shapes : dict
        Shape and dtype of every buffer, for a full batch.
    per_sample : set of str
        Those buffers whose first axis is the batch; a shorter batch uses their leading rows.
    dtype : str
        The network's dtype.
    batch_size : int
        The largest batch.
    scale : float
        What ``x_data`` is multiplied by as a batch is gathered.
    """

    dtype: str
    batch_size: int
    scale: float
    arrays: dict[str, Array]
    steps: list[Step] = field(default_factory=list)
    shapes: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    per_sample: set[str] = field(default_factory=set)

    def add_batch(self, name: str, shape: tuple[int, ...], dtype: str | None = None) -> str:
        """Describe a buffer with one row of `shape` a sample."""
        self.shapes[name] = ((self.batch_size, *shape), dtype or self.dtype)
        self.per_sample.add(name)
        return name

    def add_like(self, name: str, parameter: str) -> str:
        """Describe a buffer of the shape of a parameter."""
        self.shapes[name] = (tuple(self.arrays[parameter].shape), self.dtype)
        return name


class Runner(Protocol):
    """A compiled step plan. Its parameters are those of the plan, or forms of its own of them."""

    def run(
        self, rows: Array, hyperparameters: Mapping[str, float], stop: Stop | None = None
    ) -> Array:
        """Take one training step for each row of `rows`, and return their losses.

        Parameters
        ----------
        rows : array (steps, batch), int64
            Which samples of the data set make each batch; at most ``plan.batch_size`` of them.
        hyperparameters : mapping
            What the optimizer's steps read, such as ``lr``.
        stop : Stop, optional
            When it is requested the step that is under way is the last. One is taken at least.

        Returns
        -------
        array (steps taken,)
            The mean loss of each batch before its update, on the device; not used again.
        """

    def flush(self) -> None:
        """Make the plan's parameters whole: somebody looks at the network."""

    def reload(self) -> None:
        """Read the plan's parameters again: somebody may have changed them."""

    def counter(self, held_out: tuple[Array, Array] | None = None) -> Callable[[], int] | None:
        """Give what counts the right answers of the network as it is between two calls of `run`.

        Parameters
        ----------
        held_out : tuple of arrays (K, ...) and (K,), optional
            Inputs and labels, finite and in range; by default the data set of the plan.

        Returns
        -------
        callable, or None
            Counts what `Backend.count_correct` counts for the network's scores, which may differ by
            rounding. None if the network itself is as fast, as it is by default.
        """
        return None
