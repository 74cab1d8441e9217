"""A training step as data, and what runs it: what an engine is given and gives back.

A plan says the step twice. Its `Chain` says what the network is: blocks of layers, a loss, an
update rule. From that follow its `steps`, a flat list of calls of primitives that any engine can
run (`fastnn.backends.steps`). An engine that knows everything that is in the chain
(`fastnn.backends.known_parts`) compiles it as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.stop import Stop

Numbers = float | np.ndarray[Any, Any]
"""A hyperparameter for many steps: the same in all, or an array (steps,) of the host."""

DATA_DTYPES = ("uint8", "int8")
"""Dtypes that a data set may have besides the network's own; a batch is cast as it is gathered."""


@dataclass(frozen=True)
class LayerCalls:
    """A layer that takes part by its own methods.

    Attributes
    ----------
    name : str
        Its class, for messages.
    forward, backward : callable
        In training. `backward` gives ``dx``, followed by the gradients of the parameters if there
        are any. Of a loss `forward` takes scores and labels, and `backward` nothing.
    users_own : bool
        Whether it is no unmodified layer of fastnn's: it may do whatever Python can.
    numbers : callable
        Of a layer of fastnn's, gives the numbers that both read, as they are now.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    users_own: bool
    numbers: Callable[[], tuple[float, ...]] = tuple


@dataclass(frozen=True)
class Activation:
    """What the output of a layer goes through, number by number.

    Attributes
    ----------
    name : str
        The method of a `Backend` that computes it; with ``_backward`` behind it, its gradient.
    keeps : {"output", "input"}
        What that needs besides `dout`.
    options : mapping of str to float
        Keyword arguments of both.
    """

    name: str
    keeps: str = "output"
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """A layer that is a primitive forward and one back, and keeps something for itself.

    Attributes
    ----------
    name : {"batch_norm", "dropout"}
        The method of a `Backend` that computes it.
    state : tuple of str
        Names in `StepPlan.arrays` of what the layer changes in training: the running mean and
        variance; the number of the next draw.
    options : mapping
        Keyword arguments: the momentum of the averages; ratio and key.
    held : bool
        Whether the same mask is drawn again and again.
    label : str
        Its class, for messages.
    """

    name: str
    state: tuple[str, ...]
    options: Mapping[str, Any]
    held: bool = False
    label: str = field(default="", compare=False)


@dataclass(frozen=True)
class Block:
    """A stretch of layers that runs as one.

    An Affine layer or batch normalisation with the activation behind it, or any other layer.

    Attributes
    ----------
    parameters : tuple of str
        Names of its parameters in `StepPlan.arrays`: W and b of an Affine layer, gamma and beta.
    units : int
        What an Affine layer or batch normalisation gives for a sample; 0 of other layers.
    activation : Activation or None
        What the output of an Affine layer or of batch normalisation goes through.
    operation : Operation or None
        Batch normalisation or dropout.
    layer : LayerCalls or None
        The methods of any other layer. If there is neither of these it is an Affine layer.
    label : str
        Its layers, for messages.
    """

    parameters: tuple[str, ...]
    units: int = 0
    activation: Activation | None = None
    layer: LayerCalls | None = None
    operation: Operation | None = None
    label: str = field(default="", compare=False)

    @property
    def is_affine(self) -> bool:
        """Whether it is an Affine layer."""
        return self.layer is None and self.operation is None

    @property
    def normalises(self) -> bool:
        """Whether it is batch normalisation."""
        return self.operation is not None and self.operation.name == "batch_norm"

    @property
    def drops(self) -> bool:
        """Whether it is dropout."""
        return self.operation is not None and self.operation.name == "dropout"


@dataclass(frozen=True)
class Rule:
    """How an optimizer changes a parameter, given its gradient.

    Attributes
    ----------
    primitive : str
        The method of a `Backend` that does it in place: ``primitive(parameter, gradient, *state,
        **hyperparameters)``.
    hyperparameters : tuple of str
        Numbers that it reads besides, such as ``lr``; they may differ from step to step.
    state : tuple of str
        Names of arrays that it changes along with the parameter, of its shape and dtype, and zero
        at first.
    decouples_decay : bool
        Whether weight decay acts on the parameter itself, `Backend.decay_weights`, rather than
        being a part of its gradient, `Backend.decayed_gradient`.
    """

    primitive: str
    hyperparameters: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    decouples_decay: bool = False


LOSSES: Mapping[str, tuple[str, ...]] = {
    "softmax_cross_entropy": ("losses", "y"),
    "sigmoid_cross_entropy": ("losses", "y"),
    "squared_error": ("losses",),
    "poisson_deviance": ("losses", "y"),
}
"""What each loss primitive writes. Its gradient, ``primitive_backward``, reads ``y``, or the scores
where there is none."""


@dataclass(frozen=True)
class Penalty:
    """``weight_decay / 2 * sum(W**2)`` over all entries of some parameters, as a part of the loss.

    Attributes
    ----------
    weight_decay : float or None
        None: the number `weight_decay` that is known at each step.
    parameters : tuple of str
        Their names.
    times : float
        How many times it stands in the loss that is reported. Its gradient is taken once.
    """

    weight_decay: float | None
    parameters: tuple[str, ...]
    times: float = 1


@dataclass(frozen=True)
class Chain:
    """What a network is, layer after layer.

    Attributes
    ----------
    blocks : tuple of Block
        In order.
    loss : str or LayerCalls
        The primitive that gives the losses, one of `LOSSES`; or a loss layer that takes part by its
        methods.
    parameters : tuple of str
        All names, in the order in which they are updated.
    update : Rule or callable
        How parameters are updated; or a function of two dictionaries, parameters and gradients by
        name, which updates all of them.
    clips : bool
        Whether gradients are first cut to a norm, of all of them together: ``clip_norm``.
    decayed : tuple of str
        Parameters with weight decay: ``weight_decay``, and ``lr`` where the rule decouples it.
    penalty : Penalty or None
        What is added to the loss.
    weighted : bool
        Whether samples have weights; see `Backend.weighted`.
    loss_label, update_label : str
        The classes of loss and optimizer, for messages.
    """

    blocks: tuple[Block, ...]
    loss: str | LayerCalls
    parameters: tuple[str, ...]
    update: Rule | Callable[[dict[str, Array], dict[str, Array]], None]
    clips: bool = False
    decayed: tuple[str, ...] = ()
    penalty: Penalty | None = None
    weighted: bool = False
    loss_label: str = field(default="", compare=False)
    update_label: str = field(default="", compare=False)


@dataclass(frozen=True)
class Step:
    """One call: ``writes = primitive(*reads, **options, **hyperparameters)``.

    Attributes
    ----------
    primitive : str
        A method of the backend, or what the `call` does.
    reads, writes : tuple of str
        Arrays, by name.
    options : mapping
        Keyword arguments.
    hyperparameters : tuple of str
        Keyword arguments that are known at each run.
    call : callable or None
        Stands in for the primitive where Python code of a layer or an optimizer does the work.
    layer : LayerCalls or None
        The layer whose method that is.
    """

    primitive: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: tuple[str, ...] = ()
    call: Callable[..., Any] | None = None
    layer: LayerCalls | None = None

    @property
    def in_place(self) -> bool:
        """Whether the step changes what it reads, rather than filling a buffer."""
        return set(self.writes) <= set(self.reads)


def state_name(state: str, parameter: str) -> str:
    """Name the state of a parameter in `StepPlan.arrays`."""
    return f"{state}:{parameter}"


@dataclass
class StepPlan:
    """What a backend compiles.

    Attributes
    ----------
    dtype : str
        The network's dtype.
    batch_size : int
        The largest batch.
    scale : float
        What ``x_data`` is multiplied by as a batch is gathered.
    arrays : dict
        The data set, ``x_data`` and ``t_data``, and the weights of the samples, ``w_data``, float64
        (K,), if the chain is weighted; the parameters, by name, the state of layers, and
        what state the update rule has of each parameter, by `state_name`.
    chain : Chain
        What the network is.
    steps : list of Step
        In the order in which they run. They read `arrays` and ``rows`` (which samples make the
        batch), and write ``loss``.
    shapes : dict
        Shape and dtype of every buffer, for a full batch.
    per_sample : set of str
        Those buffers whose first axis is the batch; a shorter batch uses their leading rows.
    """

    dtype: str
    batch_size: int
    scale: float
    arrays: dict[str, Array]
    chain: Chain
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


class Counter(Protocol):
    """Counts the right answers of a network as it is between two calls of `Runner.run`."""

    def __call__(self, losses: np.ndarray[Any, Any] | None = None) -> int:
        """Count them; and write the loss of each sample to `losses`, float64 (K,), if given."""


class Runner(Protocol):
    """A compiled step plan. Its parameters are those of the plan, or forms of its own of them."""

    def run(
        self, rows: Array, hyperparameters: Mapping[str, Numbers], stop: Stop | None = None
    ) -> Array:
        """Take one training step for each row of `rows`, and return their losses.

        Parameters
        ----------
        rows : array (steps, batch), int64
            Which samples of the data set make each batch; at most ``plan.batch_size`` of them.
        hyperparameters : mapping of str to float or array (steps,) of the host
            What the optimizer's steps read, such as ``lr``: one number for all, or one for each.
        stop : Stop, optional
            When it is requested the step that is under way is the last. One is taken at least.

        Returns
        -------
        array (steps taken,)
            The mean loss of each batch before its update, on the device; not used again.
        """

    def flush(self) -> None:
        """Write parameters and state back to the plan's arrays, which a user may see now."""

    def reload(self) -> None:
        """Read the plan's parameters and state again: somebody may have changed them."""

    def findings(self) -> tuple[str, ...]:
        """Say, in sentences, what of `Backend.explain` did not hold as steps were run, and why."""
        return ()

    def renew(self, samples: int) -> None:
        """Train on other samples from now on: so many, in the leading rows of the data set.

        Somebody has written them to the plan's arrays. A runner that reads these as it trains has
        nothing to do.
        """
        return

    def counter(self, held_out: tuple[Array, Array] | None = None) -> Counter | None:
        """Give what counts the right answers of the network as it is between two calls of `run`.

        Parameters
        ----------
        held_out : tuple of arrays (K, ...) and (K,), optional
            Inputs and labels, finite and in range; by default the data set of the plan.

        Returns
        -------
        Counter, or None
            Counts what `Backend.count_correct` counts for the network's scores, which may differ by
            rounding. None if the network itself is as fast, as it is by default.
        """
        return None
