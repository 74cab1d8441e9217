"""Training: mini-batches from the whole data set, through a step plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.loop import Loop
from fastnn.checks import check_count, check_rate, check_seed, dtype_name
from fastnn.nn.found_parameters import no_parameters, without_names
from fastnn.nn.optimizers import SGD, Optimizer
from fastnn.nn.parameters import problem_with_parameters
from fastnn.nn.sequential import Sequential
from fastnn.training.data import KEPT_AS_THEY_ARE, data_set, held_out_data
from fastnn.training.evaluation import Accuracy
from fastnn.training.history import History, LossQueue
from fastnn.training.interruption import Interruption, defer_interruption
from fastnn.training.planner import make_plan
from fastnn.training.progress import ProgressBar
from fastnn.training.standstill import StandstillCheck, warn, warn_of_magnitude
from fastnn.wording import shown

DEFAULT_BATCH_SIZE = 100

Callback = Callable[["Sequential", History], object]
"""Called after each epoch. It may change the parameters and the optimizer's learning rate; if it
returns what is true, training ends."""


def fit(
    network: Sequential,
    x: object,
    t: object,
    *,
    epochs: int = 1,
    batch_size: int | None = None,
    scale: float = 1.0,
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
        handed out before keep their values, as do those that layers were made from.
    x : array_like (K, ...)
        The data set, finite. Brought to the network's device once; uint8 and bool stay a byte
        there. What is there already, in a dtype that is trained from, is used as it is, so that a
        change while training may be seen or not (docs/reproducibility.md tells when).
    t : array_like (K,) or (K, C)
        Labels: indices of classes, or one-hot. They are copied: no later change is seen.
    epochs : int, optional
        How often to go through the data set; 0 trains nothing.
    batch_size : int, optional
        Samples of a step, from 1 to K; by default 100, or all K if they are fewer.
    scale : float, optional
        What inputs are multiplied by as they are used, greater than 0: 1/255 for bytes, which need
        not be copied to become floats then. It holds for `validation`, too. The network learns from
        ``scale * x``: that is what `predict` and `accuracy` want afterwards.
    optimizer : Optimizer, optional
        By default ``SGD(lr=0.1)``. One of your own that has but an ``update(params, grads)`` is
        called for each step, from Python: nothing is compiled as a whole then, nor captured in a
        CUDA graph. A step of the book's network takes 200 us instead of 100 on Numba, and as long
        as ever on NumPy (784-50-10, batch 100, one core of a Xeon with AVX-512).
    seed : int, optional
        Seed of the batches; by default another one each time.
    validation : tuple (x, t), optional
        If given, the accuracies of the training and of this data are evaluated after each epoch.
    callbacks : sequence of callable, optional
        Each is called after each epoch as ``callback(network, history)``; training ends if what
        one returns is true, such as True or NumPy's True.
    progress : bool, optional
        Show a progress bar on standard error, if that can be written to.

    Returns
    -------
    History
        Also after Ctrl-C, which ends the training between two steps, within about a tenth of a
        second, or when the kernels are compiled.

    Raises
    ------
    TypeError
        If an array holds no real numbers, or a count is no integer.
    ValueError
        If shapes do not fit, an input is NaN or infinite (the message tells where), a label is
        out of range, not integral or not one-hot, `batch_size` is not in 1 ... K, or `scale` is
        not finite and greater than 0. The network is unchanged then. Also, as a TypeError or
        ValueError, if a callback has made of a parameter what cannot be trained: of another shape,
        complex, read-only, elsewhere, or sharing memory with another parameter. The network is as
        before the callbacks then.
    RuntimeError
        If another `fit` trains the network already, in another thread or because this is called
        from a callback; or another thread writes to `x` while it is read.
    KeyboardInterrupt
        After a second Ctrl-C, at once: it cuts an evaluation or a callback short, but not a step.
        The network is that of the steps in its attribute ``history``.

    Warns
    -----
    TrainingWarning
        If inputs are of a magnitude far from 1, or the loss has not moved for an epoch and nearly
        all units of a layer are dead.

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
    if batch_size is not None:
        batch_size = check_count(batch_size, "batch_size")
    optimizer = SGD(lr=0.1) if optimizer is None else optimizer
    callbacks = _check_callbacks(callbacks)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "optimizer must be one of fastnn's, SGD(0.1), or one derived from fastnn.Optimizer "
            f"with an update of its own, got {shown(optimizer)}; any other trains in a loop: "
            "optimizer.update(network.params, network.gradient(x, t))"
        )
    _check_what_fit_calls(network, optimizer)
    scale = _check_scale(scale, network)
    order = check_seed(seed)
    with network._network_lock.training(), network.backend.current():
        compiled_before = network.backend.seconds_compiling()
        data, labels = data_set(network, x, t)
        samples = int(data.shape[0])
        if batch_size is None:
            batch_size = min(DEFAULT_BATCH_SIZE, samples)
        if batch_size > samples:
            raise ValueError(f"batch_size is {batch_size}, but there are {samples} samples")
        network.find_parameters(data[:batch_size, ...], labels[:batch_size, ...])
        _check_parameters(network)
        held_out = None if validation is None else held_out_data(network, validation)
        history = History()
        if epochs == 0:
            return history
        warn_of_magnitude(data, network.backend, scale)
        training = _Training(network, data, labels, optimizer, batch_size, scale)
        steps = math.ceil(samples / batch_size) * epochs
        with ProgressBar(steps, progress) as bar:
            queue = LossQueue(network.backend, history, bar, compiled_before)
            try:
                _train(training, epochs, order, history, queue, held_out, callbacks)
            except KeyboardInterrupt as error:
                history.interrupted = True
                error.history = history  # type: ignore[attr-defined]
                raise
        return history


def _check_callbacks(callbacks: object) -> Sequence[Callback]:
    if not isinstance(callbacks, Iterable) or not all(map(callable, some := tuple(callbacks))):
        raise TypeError(
            f"callbacks must be a list of functions of (network, history), got {shown(callbacks)}"
        )
    return some


def _check_what_fit_calls(network: Sequential, optimizer: Optimizer) -> None:
    """Refuse what a step plan would silently leave out."""
    if not isinstance(network, Sequential):
        raise TypeError(
            f"network must be one of fastnn's, such as TwoLayerNet, got {shown(network)}"
        )
    method = network.replaced_method("loss", "gradient")
    if method is not None:
        raise TypeError(
            f"{type(network).__name__} has a {method} of its own, which fit does not call: it "
            "goes through the layers; train it in a loop, with gradient and optimizer.update"
        )
    optimizer.described_update()


def _check_parameters(network: Sequential) -> None:
    """Refuse a network without parameters, and one of which two share memory.

    Warn of a layer with arrays that are not known to be parameters.
    """
    parameters = list(network.params.items())
    if not parameters:
        raise no_parameters(network, "to train")
    for index, (name, array) in enumerate(parameters):
        for other, another in parameters[:index]:
            if network.backend.share_memory(array, another):
                raise ValueError(
                    f"parameters {other!r} and {name!r} are one array, or share memory, and fit "
                    "would part them: give each layer its own, or train in a loop"
                )
    untrained = without_names(network)
    if untrained:
        warn(
            f"the layers {untrained} have arrays that are not trained: their classes name no "
            "parameters, and their backward leaves no dNAME beside a NAME. Write "
            'parameters = ("W", "b") in the class, and leave the gradients in dW and db; or '
            "parameters = () if there is nothing to train"
        )


def _check_scale(scale: float, network: Sequential) -> float:
    """Return what inputs are multiplied by: a number that the network's dtype has, and not 0."""
    rate = check_rate(scale, "scale")
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.dtype(network.dtype).type(rate)
    if rounded == 0 or not np.isfinite(rounded):
        raise ValueError(
            f"scale is {shown(scale)}, which is {rounded} in {network.dtype}: it must be greater "
            "than 0 and finite"
        )
    return rate


def _train(
    training: _Training,
    epochs: int,
    order: np.random.Generator,
    history: History,
    queue: LossQueue,
    held_out: tuple[Array, Array] | None,
    callbacks: Sequence[Callback],
) -> None:
    """Go through the epochs, until interrupted or told to end."""
    standstill = training.standstill()
    with defer_interruption() as interruption:
        try:
            evaluations = [] if held_out is None else training.evaluations(held_out, history)
            for _ in range(epochs):
                queue.resume()
                training.epoch(order.permutation(training.samples), history, queue, interruption)
                if interruption.requested:
                    break
                if evaluations or callbacks:
                    queue.flush()
                standstill.check(history.losses)
                found = [interruption.call(accuracy) for _, accuracy in evaluations]
                for (accuracies, _), accuracy in zip(evaluations, found, strict=True):
                    accuracies.append(accuracy)
                if training.callbacks_end_it(callbacks, history, interruption):
                    break
                if callbacks:
                    interruption.take_over()  # if one has put Python's own handler back
                if interruption.requested:
                    break
        except KeyboardInterrupt:
            interruption.requested = True
        finally:
            queue.flush()
            history.interrupted = interruption.requested
    if not history.interrupted:
        standstill.check(history.losses, at_the_end=True)


class _Training:
    """A compiled plan over parameters of its own, and their way back to the network.

    While it trains, the network's layers hold the plan's own arrays, which are updated in place
    and which nobody else has seen. Callbacks are shown copies.
    """

    def __init__(
        self,
        network: Sequential,
        x: Array,
        t: Array,
        optimizer: Optimizer,
        batch_size: int,
        scale: float,
    ) -> None:
        self.network = network
        self.data, self.labels, self.scale = x, t, scale
        self.samples = int(x.shape[0])
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
        self.plan = make_plan(network, x, t, optimizer, batch_size, scale)
        self.runner = self.backend.compile(self.plan) or Loop(self.backend, self.plan)

    def epoch(
        self,
        order: np.ndarray[Any, Any],
        history: History,
        queue: LossQueue,
        interruption: Interruption,
    ) -> None:
        """Queue the training on every sample once, in this order, unless interrupted."""
        history.epoch_seconds.append(0.0)
        queued = 0
        try:
            with closing(self._chunks(order, interruption)) as chunks:
                for rows in chunks:
                    samples = int(rows.shape[0])
                    whole = samples // self.batch_size * self.batch_size
                    if whole:
                        queued += self._run(rows[:whole], self.batch_size, queue, interruption)
                    if whole < samples:
                        queued += self._run(rows[whole:], samples - whole, queue, interruption)
        finally:
            with self.network._network_lock.alone:
                self.runner.flush()
        history.epochs += queued == len(order)
        if not queued:
            history.epoch_seconds.pop()

    def standstill(self) -> StandstillCheck:
        """Make the check whether training stands still."""
        steps = math.ceil(self.samples / self.batch_size)
        return StandstillCheck(self.network, self.data, self.scale, steps)

    def evaluations(
        self, held_out: tuple[Array, Array], history: History
    ) -> list[tuple[list[float], Accuracy]]:
        """For both data sets give the list of accuracies to append to, and what evaluates them."""
        own = Accuracy(self.network, self.data, self.labels, self.scale, self.runner.counter())
        other = Accuracy(self.network, *held_out, self.scale, self.runner.counter(held_out))
        return [(history.train_accuracies, own), (history.validation_accuracies, other)]

    def callbacks_end_it(
        self, callbacks: Sequence[Callback], history: History, interruption: Interruption
    ) -> bool:
        """Show the network to the callbacks, and take over what they changed.

        What could not be trained is refused, and the network put back as it was.
        """
        if not callbacks:
            return False
        shown = self._show_copies()
        try:
            results = [interruption.call(callback, self.network, history) for callback in callbacks]
        finally:
            problem = self._problem(shown)
        if problem is not None:
            raise problem
        if any([_is_true(*called) for called in zip(callbacks, results, strict=True)]):
            return True
        with np.errstate(over="ignore"):
            changed = {
                name: self.backend.asarray(getattr(*owner), self.dtype)
                for name, owner in self.owners.items()
            }
        for name, owner in self.owners.items():
            buffer = self.plan.arrays[name]
            buffer[...] = changed[name]
            setattr(*owner, buffer)
        self.runner.reload()
        return False

    def _problem(self, shown: Mapping[str, Array]) -> Exception | None:
        """Make the error for what callbacks must not do, and restore parameters they broke."""
        problem: Exception | None = self._moved()
        if problem is not None:
            return problem
        arrays = {name: getattr(*owner, None) for name, owner in self.owners.items()}
        problem = problem_with_parameters(arrays, shown, self.plan.arrays, self.backend)
        if problem is not None:
            for name, owner in self.owners.items():
                setattr(*owner, self.plan.arrays[name])
        return problem

    def _chunks(
        self, order: np.ndarray[Any, Any], interruption: Interruption
    ) -> Generator[Array, None, None]:
        """Give the rows of an epoch: at once, or as the data set arrives."""
        if self.feed is None:
            yield self.backend.asarray(order)
        else:
            yield from self.feed.chunks(order, lambda: interruption.requested)

    def _run(self, rows: Array, batch: int, queue: LossQueue, interruption: Interruption) -> int:
        """Queue a step for each batch of `rows`, unless interrupted; give the samples queued."""
        lock, rows = self.network._network_lock, self.backend.xp.reshape(rows, (-1, batch))
        done, steps = 0, int(rows.shape[0])
        while done < steps and not interruption.requested:
            some = rows[done : min(done + queue.steps_at_once, steps), ...]
            # The losses show that it diverged.
            with lock.alone, np.errstate(over="ignore", under="ignore", invalid="ignore"):
                losses = self.runner.run(some, self.optimizer.hyperparameters(), interruption.stop)
            lock.give_way()
            queue.add(losses, batch)
            done += int(losses.shape[0])
        return done * batch

    def _show_copies(self) -> dict[str, Array]:
        """Let the layers hold copies of their parameters; return these by name."""
        copies = {name: self.backend.copy(getattr(*owner)) for name, owner in self.owners.items()}
        for name, owner in self.owners.items():
            setattr(*owner, copies[name])
        return copies

    def _moved(self) -> RuntimeError | None:
        network = self.network
        same = (
            network.backend is self.backend
            and network.dtype == self.dtype
            and list(map(id, network.layers.values())) == list(map(id, self.layers))
        )
        if same:
            return None
        return RuntimeError(
            "a callback changed the network's backend, dtype or layers: call fit again for that"
        )


def _is_true(callback: Callback, result: Any) -> bool:
    """Whether what a callback returned means that training is to end."""
    try:
        return bool(result)
    except ValueError as error:  # an array of several entries
        name = getattr(callback, "__name__", type(callback).__name__)
        raise TypeError(
            f"callback {name} returned a {type(result).__name__} that is neither true nor false "
            f"({error}): return True to end the training, else None"
        ) from error
