"""Training: mini-batches from the whole data set, through a step plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.backends.selection import load_backend
from fastnn.evaluation import Accuracy
from fastnn.interruption import Interruption, watch_for_interruption
from fastnn.losses import LOOK_SECONDS, LossWatch
from fastnn.optimizers import SGD, Optimizer
from fastnn.plan import make_plan
from fastnn.sequential import Sequential, replaced_method
from fastnn.validation import (
    Labels,
    check_batch,
    check_count,
    check_finite,
    check_not_empty,
    check_same_length,
    check_seed,
    dtype_name,
    real_array,
)

if TYPE_CHECKING:
    from fastnn.backends.base import Array

KEPT_AS_THEY_ARE = ("uint8", "int8")
"""Dtypes that a data set keeps on the device; each batch is cast as it is gathered."""


@dataclass
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
        Seconds of training in each epoch, evaluation and callbacks aside.
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
    epochs: int = 0
    samples: int = 0
    interrupted: bool = False

    @property
    def seconds(self) -> float:
        """Seconds of training, evaluation and callbacks aside."""
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


Callback = Callable[["Sequential", History], object]
"""Called after each epoch. It may change the parameters and the optimizer's learning rate; if it
returns True, training ends."""


def fit(
    network: Sequential,
    x: object,
    t: object,
    *,
    epochs: int = 1,
    batch_size: int = 100,
    optimizer: Optimizer | None = None,
    seed: int | None = None,
    validation: tuple[object, object] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> History:
    """Train a network by mini-batches.

    Each epoch takes the samples once, in an order drawn on the host by
    ``numpy.random.default_rng(seed)``, so that one seed gives the same batches on every backend.
    The last batch of an epoch is shorter where the data set is not a multiple of `batch_size`.

    Parameters
    ----------
    network : Sequential
        Trained in place: when an epoch is over its parameters are new arrays, and those that were
        handed out before keep their values.
    x : array_like (K, ...)
        The data set, finite. Brought to the network's device once; uint8 stays uint8 there. It must
        not change while it is trained on.
    t : array_like (K,) or (K, C)
        Labels: indices of classes, or one-hot.
    epochs : int, optional
        How often to go through the data set; 0 trains nothing.
    batch_size : int, optional
        Samples of a step, from 1 to K.
    optimizer : Optimizer, optional
        By default ``SGD(lr=0.1)``.
    seed : int, optional
        Seed of the batches; by default another one each time.
    validation : tuple (x, t), optional
        If given, the accuracies of the training and of this data are evaluated after each epoch.
    callbacks : sequence of callable, optional
        Each is called after each epoch as ``callback(network, history)``; training ends if one
        returns True.
    progress : bool, optional
        Show a progress bar on standard error.

    Returns
    -------
    History
        Also after Ctrl-C, which ends the training between two steps, within about a tenth of a
        second, or when the kernels are compiled; a second Ctrl-C raises KeyboardInterrupt at once.

    Raises
    ------
    TypeError
        If an array holds no real numbers, or a count is no integer.
    ValueError
        If shapes do not fit, an input is NaN or infinite (the message tells where), a label is
        out of range, not integral or not one-hot, or `batch_size` is not in 1 ... K. The network
        is unchanged then.
    RuntimeError
        If another `fit` trains the network already, in another thread or because this is called
        from a callback.

    Notes
    -----
    Callbacks may use the network as ever. Other threads may use it, too, but change nothing: to
    set parameters, dtype or backend is refused to them. `loss` and `gradient` wait for the steps
    that are under way, about a tenth of a second, and `predict` does not wait. What they see are
    parameters on the way: with NumPy the latest, of which `predict` may find some a step ahead of
    others; where training is compiled for the CPU, those of the last epoch that has ended. A `copy`
    and a `save` hold whole steps; pickle a copy.
    """
    epochs = check_count(epochs, "epochs", least=0)
    batch_size = check_count(batch_size, "batch_size")
    optimizer = SGD(lr=0.1) if optimizer is None else optimizer
    callbacks = _check_callbacks(callbacks)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be one of fastnn's, such as SGD(0.1), got {optimizer!r}")
    _check_what_fit_calls(network, optimizer)
    order = check_seed(seed)
    with network._network_lock.training(), network.backend.current():
        data, labels = _data_set(network, x, t)
        if batch_size > data.shape[0]:
            raise ValueError(f"batch_size is {batch_size}, but there are {data.shape[0]} samples")
        held_out = None if validation is None else _held_out(network, validation)
        history = History()
        if epochs == 0:
            return history
        training = _Training(network, data, labels, optimizer, batch_size)
        steps = math.ceil(data.shape[0] / batch_size) * epochs
        with _progress_bar(steps, progress) as bar:
            _train(training, epochs, order, history, bar, held_out, callbacks)
        return history


def _check_callbacks(callbacks: object) -> Sequence[Callback]:
    if not isinstance(callbacks, Iterable) or not all(map(callable, some := tuple(callbacks))):
        raise TypeError(
            f"callbacks must be a list of functions of (network, history), got {callbacks!r}"
        )
    return some


def _check_what_fit_calls(network: Sequential, optimizer: Optimizer) -> None:
    """Refuse what a step plan would silently leave out."""
    if not isinstance(network, Sequential):
        raise TypeError(f"network must be one of fastnn's, such as TwoLayerNet, got {network!r}")
    method = replaced_method(network, "loss", "gradient")
    if method is not None:
        raise TypeError(
            f"{type(network).__name__} has a {method} of its own, which fit does not call: it "
            "goes through the layers; train it in a loop, with gradient and optimizer.update"
        )
    if not issubclass(_definer(optimizer, "step"), _definer(optimizer, "update")):
        raise TypeError(
            f"{type(optimizer).__name__} has an update of its own, but no step, which is what fit "
            "calls: describe the same rule there, or train in a loop"
        )
    seen: dict[int, str] = {}
    for name, array in network.params.items():
        if id(array) in seen:
            raise ValueError(
                f"parameters {seen[id(array)]!r} and {name!r} are one array, which fit would make "
                "two: give each layer its own, or train in a loop"
            )
        seen[id(array)] = name


def _definer(optimizer: Optimizer, method: str) -> type:
    return next(cls for cls in type(optimizer).__mro__ if method in vars(cls))


def _train(
    training: _Training,
    epochs: int,
    order: np.random.Generator,
    history: History,
    bar: Any,
    held_out: tuple[Array, Array] | None,
    callbacks: Sequence[Callback],
) -> None:
    """Go through the epochs, until interrupted or told to end."""
    with watch_for_interruption() as interruption:
        watch = LossWatch(training.backend, history, bar)
        try:
            evaluations = [] if held_out is None else training.evaluations(held_out, history)
            for _ in range(epochs):
                watch.resume()
                training.epoch(
                    order.permutation(training.data.shape[0]), history, watch, interruption
                )
                if interruption.requested:
                    break
                if evaluations or callbacks:
                    watch.look()
                for accuracies, accuracy in evaluations:
                    accuracies.append(accuracy())
                if training.callbacks_end_it(callbacks, history) or interruption.requested:
                    break
        except KeyboardInterrupt:
            interruption.requested = True
        finally:
            watch.look()
    history.interrupted = interruption.requested


class _Training:
    """A compiled plan over parameters of its own, and their way back to the network.

    While it trains, the network's layers hold the plan's own arrays, which are updated in place
    and which nobody else has seen. Callbacks are shown copies.
    """

    def __init__(
        self, network: Sequential, x: Array, t: Array, optimizer: Optimizer, batch_size: int
    ) -> None:
        self.network = network
        self.data, self.labels = x, t
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.layers = list(network.layers.values())
        self.backend, self.dtype = network.backend, network.dtype
        self.owners = network.owners()
        self._show_copies()
        self.feed = None
        if not self.backend.owns(x):
            kept = dtype_name(x) if dtype_name(x) in KEPT_AS_THEY_ARE else self.dtype
            self.feed = self.backend.feed(x, t, kept, batch_size)
            x, t = self.feed.x, self.feed.t
        self.plan = make_plan(network, x, t, optimizer, batch_size)
        self.runner = self.backend.compile(self.plan)

    def epoch(
        self,
        order: np.ndarray[Any, Any],
        history: History,
        watch: LossWatch,
        interruption: Interruption,
    ) -> None:
        """Queue the training on every sample once, in this order, unless interrupted."""
        history.epoch_seconds.append(0.0)
        queued = 0
        try:
            with closing(self._pieces(order, interruption)) as pieces:
                for rows in pieces:
                    samples = int(rows.shape[0])
                    whole = samples // self.batch_size * self.batch_size
                    if whole:
                        queued += self._run(rows[:whole], self.batch_size, watch, interruption)
                    if whole < samples:
                        queued += self._run(rows[whole:], samples - whole, watch, interruption)
        finally:
            with self.network._network_lock.alone:
                self.runner.flush()
        history.epochs += queued == len(order)

    def evaluations(
        self, held_out: tuple[Array, Array], history: History
    ) -> list[tuple[list[float], Accuracy]]:
        """Give for both data sets where their accuracies go, and what evaluates them."""
        own = Accuracy(self.network, self.data, self.labels, self.runner.counter())
        other = Accuracy(self.network, *held_out, self.runner.counter(held_out))
        return [(history.train_accuracies, own), (history.validation_accuracies, other)]

    def callbacks_end_it(self, callbacks: Sequence[Callback], history: History) -> bool:
        """Show the network to the callbacks, and take over what they changed."""
        if not callbacks:
            return False
        self._show_copies()
        end = any([callback(self.network, history) is True for callback in callbacks])
        if end:
            return True
        self._check_unchanged()
        for name, (layer, attribute) in self.owners.items():
            buffer = self.plan.arrays[name]
            buffer[...] = getattr(layer, attribute)
            setattr(layer, attribute, buffer)
        self.runner.reload()
        return False

    def _pieces(
        self, order: np.ndarray[Any, Any], interruption: Interruption
    ) -> Generator[Array, None, None]:
        """Give the rows of an epoch: at once, or as the data set arrives."""
        if self.feed is None:
            yield self.backend.asarray(order)
        else:
            yield from self.feed.pieces(order, lambda: interruption.requested)

    def _run(self, rows: Array, batch: int, watch: LossWatch, interruption: Interruption) -> int:
        """Queue a step for each batch of `rows`, unless interrupted; give the samples queued."""
        lock, rows = self.network._network_lock, self.backend.xp.reshape(rows, (-1, batch))
        done, steps = 0, int(rows.shape[0])
        while done < steps and not interruption.requested:
            some = rows[done : min(done + watch.steps_at_once, steps), ...]
            # The losses show that it diverged.
            with lock.alone, np.errstate(over="ignore", under="ignore", invalid="ignore"):
                losses = self.runner.run(some, self.optimizer.hyperparameters())
            lock.give_way()
            watch.add(losses, batch)
            done += int(some.shape[0])
        return done * batch

    def _show_copies(self) -> None:
        for layer, attribute in self.owners.values():
            setattr(layer, attribute, self.backend.copy(getattr(layer, attribute)))

    def _check_unchanged(self) -> None:
        network = self.network
        same = (
            network.backend is self.backend
            and network.dtype == self.dtype
            and list(map(id, network.layers.values())) == list(map(id, self.layers))
        )
        if not same:
            raise RuntimeError(
                "a callback changed the network's backend, dtype or layers: call fit again for that"
            )


def _data_set(network: Sequential, x: object, t: object, *, name: str = "x") -> tuple[Array, Array]:
    """Check a data set and bring it to the network's device, in a dtype that it is trained from.

    What has no room there stays on the host.
    """
    backend = network.backend
    data, labels = real_array(x, backend, name), real_array(t, backend, "t")
    if data.ndim < 2:
        raise ValueError(f"{name} has shape {tuple(data.shape)}: expected (K, features, ...)")
    check_not_empty(data, name)
    check_same_length(data, labels)
    if not backend.owns(data) and not backend.holds(_bytes_on_device(data, network.dtype)):
        check_finite(data, load_backend("numpy"), name=name)
        return data, network.targets_on_host(labels, _classes(network, data, name))
    if dtype_name(data) in KEPT_AS_THEY_ARE:
        data = backend.asarray(data)
    else:
        data = check_batch(data, backend, network.dtype, name=name)
    check_finite(data, backend, name=name)
    targets = network.targets(labels, _classes(network, data, name))
    return data, targets.indices if isinstance(targets, Labels) else targets


def _classes(network: Sequential, data: Array, name: str) -> int:
    """Count the scores that the network gives for a sample of the data set."""
    try:
        return int(network.predict(data[:1, ...]).shape[1])
    except ValueError as error:
        raise ValueError(f"{name} has shape {tuple(data.shape)}: {error}") from error


def _bytes_on_device(data: np.ndarray[Any, Any], dtype: str) -> int:
    kept = data.dtype if dtype_name(data) in KEPT_AS_THEY_ARE else np.dtype(dtype)
    return data.size * kept.itemsize


def _held_out(network: Sequential, validation: tuple[object, object]) -> tuple[Array, Array]:
    """Check validation data and bring them to the device: an error now, not after an epoch."""
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise TypeError(f"validation must be a pair (x, t), got a {type(validation).__name__}")
    data, labels = _data_set(network, *validation, name="validation x")
    network.accuracy(data[:1, ...], labels[:1, ...])
    return data, labels


def _progress_bar(steps: int, shown: bool) -> AbstractContextManager[Any]:
    if not shown:
        return nullcontext()
    from tqdm.auto import tqdm

    bar: AbstractContextManager[Any] = tqdm(total=steps, unit="step", mininterval=LOOK_SECONDS)
    return bar
