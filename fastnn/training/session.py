"""A training under way: its epochs, their batches, and what happens between two epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.loop import Loop
from fastnn.backends.mapped import stays_in_its_file
from fastnn.backends.plan import DATA_DTYPES, Counter, Rule, state_name
from fastnn.checks import dtype_name
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.parameters import problem_with_parameters
from fastnn.nn.sequential import Sequential
from fastnn.nn.updating import state_of
from fastnn.training.callbacks import Callback
from fastnn.training.evaluation import Evaluation
from fastnn.training.fixed_numbers import FixedNumbers
from fastnn.training.history import LossQueue
from fastnn.training.interruption import Interruption, defer_interruption
from fastnn.training.last_fit import remember
from fastnn.training.layer_state import LayerState
from fastnn.training.planner import make_plan
from fastnn.training.rounds import Rounds, may_change
from fastnn.training.standstill import StandstillCheck
from fastnn.training.state import Training

Evaluations = list[tuple[tuple[list[float], ...], Callable[[], tuple[float, ...]]]]
"""Lists of results to append to, and what gives these for an epoch."""


def train(
    session: Session,
    training: Training,
    queue: LossQueue,
    held_out: tuple[Array, Array] | None,
    callbacks: Sequence[Callback],
) -> None:
    """Go through the epochs, until interrupted or told to end."""
    standstill, history = session.standstill(), training.history
    with defer_interruption() as interruption:
        rounds = Rounds(callbacks, training, interruption)
        try:
            rounds.begin()
            evaluations = [] if held_out is None else session.evaluations(held_out, training)
            while history.epochs < training.epochs and not training.ended:
                queue.resume()
                training.epoch_is_open = session.epoch(
                    training.draw_order(), rounds, queue, interruption
                )
                if interruption.requested or not training.epoch_is_open:
                    break
                if evaluations or callbacks:
                    queue.flush()
                standstill.check(history.losses)
                found = [interruption.call(evaluation) for _, evaluation in evaluations]
                for (results, _), values in zip(evaluations, found, strict=True):
                    for result, value in zip(results, values, strict=True):
                        result.append(value)
                training.epoch_is_open = False
                session.call_back(rounds, rounds.due_after_epoch(), "on_epoch_end")
                if callbacks:
                    interruption.take_over()  # if one has put Python's own handler back
                if interruption.requested:
                    break
        except KeyboardInterrupt:
            interruption.requested = True
        finally:
            session.hand_over_state()
            queue.flush()
            history.interrupted = interruption.requested
            remember(session.network, session.runner.findings())
        rounds.end()
    if not history.interrupted:
        standstill.check(history.losses, at_the_end=True)


class Session:
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
        weights: Array | None = None,
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
        on_host = self.backend.on_host
        is_here = not stays_in_its_file(x) if on_host else self.backend.owns(x)
        if not is_here:
            kept = dtype_name(x) if dtype_name(x) in DATA_DTYPES else self.dtype
            self.feed = self.backend.feed(x, t, kept, batch_size, weights)
            x, t, weights = self.feed.x, self.feed.t, self.feed.w
        self.plan = make_plan(network, x, t, optimizer, batch_size, scale, weights)
        self.layer_state = LayerState(network, self.plan)
        self.fixed_numbers = FixedNumbers(network, optimizer, self.plan)
        self.runner = self.backend.compile(self.plan) or Loop(self.backend, self.plan)

    def epoch(
        self,
        order: np.ndarray[Any, Any],
        rounds: Rounds,
        queue: LossQueue,
        interruption: Interruption,
    ) -> bool:
        """Queue the training on every sample of `order`, unless interrupted; give whether it was.

        An epoch that a checkpoint was taken in is gone on with.
        """
        training, history = rounds.training, rounds.training.history
        begins = training.steps_in_epoch == 0
        if begins:
            history.epoch_seconds.append(0.0)
            history.epoch_steps.append(0)
        queued = 0
        try:
            with closing(self._chunks(order, rounds, interruption)) as chunks:
                for rows, size in chunks:
                    samples = int(rows.shape[0])
                    whole = samples // size * size
                    for some, batch in ((rows[:whole], size), (rows[whole:], samples - whole)):
                        if batch:
                            queued += self._run(some, batch, rounds, queue, interruption)
        finally:
            self._make_whole()
        if begins and not queued:
            history.epoch_seconds.pop()
            history.epoch_steps.pop()
        was_whole = queued == self._samples_of_epoch(order)
        history.epochs += was_whole
        return was_whole

    def standstill(self) -> StandstillCheck:
        """Make the check whether training stands still."""
        steps = math.ceil(self.samples / self.batch_size)
        return StandstillCheck(self.network, self.data, self.scale, steps)

    def evaluations(self, held_out: tuple[Array, Array], training: Training) -> Evaluations:
        """For each data set give the lists of results to append to, and what evaluates them."""
        history, measure = training.history, training.measure
        own = self._own_evaluation()
        other = Evaluation(self.network, *held_out, self.scale, self._counter(held_out))
        if measure is None:
            return [((history.validation_losses,), other.of_loss)]
        validation = history.results("validation", measure)
        both: Evaluations = [((validation, history.validation_losses), other.of_both)]
        if own is None:
            return both
        return [((history.results("train", measure),), own.of_measure), *both]

    def _own_evaluation(self) -> Evaluation | None:
        """Give what evaluates the training data; None where they are not kept."""
        count = None if self.feed is not None else self.runner.counter()
        return Evaluation(self.network, self.data, self.labels, self.scale, count)

    def _counter(self, held_out: tuple[Array, Array]) -> Counter | None:
        """Give what counts right answers to validation data in the runner's own way, or None."""
        return None if stays_in_its_file(held_out[0]) else self.runner.counter(held_out)

    def call_back(self, rounds: Rounds, due: Sequence[Callback], method: str) -> None:
        """Call callbacks, and take over what those have changed that may change something."""
        if may_change(due):
            self._let_change(rounds, due, method)
        if due:
            self.hand_over_state()
            rounds.let_look(due, method)

    def _let_change(self, rounds: Rounds, due: Sequence[Callback], method: str) -> None:
        """Show the network to callbacks, and take over what they changed.

        What could not be trained is refused, and the network put back as it was.
        """
        shown = self._show_copies()
        self.layer_state.show_copies()
        self.hand_over_state(self.backend.copy)
        try:
            take_note_of_answers = rounds.let_change(due, method)
        finally:
            problem = self._problem(shown)
        if problem is not None:
            self.layer_state.attach()
            raise problem
        self.layer_state.take_over()
        take_note_of_answers()
        with np.errstate(over="ignore"):
            changed = {
                name: self.backend.asarray(getattr(*owner), self.dtype)
                for name, owner in self.owners.items()
            }
        for name, owner in self.owners.items():
            buffer = self.plan.arrays[name]
            buffer[...] = changed[name]
            setattr(*owner, buffer)
        self._take_over_state()
        self.runner.reload()

    def hand_over_state(self, given: Callable[[Array], Array] = lambda array: array) -> None:
        """Give the optimizer the state of its rule: the plan's arrays, or what is `given` for them.

        The optimizer's own are not touched while the plan is trained, as parameters are not.
        """
        for by_name, name, array in self._state():
            by_name[name] = given(array)

    def _take_over_state(self) -> None:
        """Write what a callback has left in the optimizer's state to the plan's arrays."""
        if not isinstance(self.plan.chain.update, Rule):
            return
        for name in self.owners:
            found = state_of(name, self.plan.arrays[name], self.backend, self.optimizer.state)
            for each, array in zip(self.optimizer.state, found, strict=True):
                self.plan.arrays[state_name(each, name)][...] = array

    def _state(self) -> list[tuple[dict[str, Array], str, Array]]:
        """List the dictionaries of the optimizer's state with a name and the plan's array each."""
        if not isinstance(self.plan.chain.update, Rule):
            return []
        return [
            (by_name, name, self.plan.arrays[state_name(each, name)])
            for each, by_name in self.optimizer.state.items()
            for name in self.owners
        ]

    def _problem(self, shown: Mapping[str, Array]) -> Exception | None:
        """Make the error for what callbacks must not do, and restore parameters they broke."""
        problem: Exception | None = (
            self._moved() or self._regularized() or self.fixed_numbers.problem()
        )
        if problem is not None:
            return problem
        arrays = {name: getattr(*owner, None) for name, owner in self.owners.items()}
        problem = problem_with_parameters(arrays, shown, self.plan.arrays, self.backend)
        if problem is not None:
            for name, owner in self.owners.items():
                setattr(*owner, self.plan.arrays[name])
        return problem

    def _chunks(
        self, order: np.ndarray[Any, Any], rounds: Rounds, interruption: Interruption
    ) -> Generator[tuple[Array, int], None, None]:
        """Give the rows of an epoch, and the size of a batch: at once, or as the data arrive."""

        def ends() -> bool:
            return interruption.requested or rounds.training.ended

        if not order.size:
            return
        if self.feed is None:
            yield self.backend.asarray(order), self.batch_size
            return
        with closing(self.feed.chunks(order, ends)) as chunks:
            for rows in chunks:
                self.runner.renew(int(rows.shape[0]))
                yield rows, self.batch_size

    def _samples_of_epoch(self, order: np.ndarray[Any, Any]) -> int | None:
        """Tell how many samples were to be trained on; None if it ended before that was known."""
        return len(order)

    def _run(
        self,
        rows: Array,
        batch: int,
        rounds: Rounds,
        queue: LossQueue,
        interruption: Interruption,
    ) -> int:
        """Queue a step for each batch of `rows`, unless it ends; give the samples queued."""
        lock, rows = self.network._network_lock, self.backend.xp.reshape(rows, (-1, batch))
        done, steps = 0, int(rows.shape[0])
        while done < steps and not (interruption.requested or rounds.training.ended):
            most = min(steps - done, queue.steps_at_once)
            until_next = rounds.steps_until_next(queue.steps)
            most = most if until_next is None else min(most, until_next)
            some = rows[done : done + most, ...]
            # The losses show that it diverged.
            with lock.alone, np.errstate(over="ignore", under="ignore", invalid="ignore"):
                numbers = self.optimizer.hyperparameters_of_steps(int(some.shape[0]))
                losses = self.runner.run(some, numbers, interruption.stop)
            lock.give_way()
            queue.add(losses, batch)
            taken = int(losses.shape[0])
            done += taken
            if isinstance(self.plan.chain.update, Rule):
                self.optimizer.iter += taken
            if until_next == taken:
                self._make_whole()
                queue.flush()
                self.call_back(rounds, rounds.due_after_step(queue.steps), "on_step_end")
                interruption.take_over()
                queue.resume()
        return done * batch

    def _make_whole(self) -> None:
        """Let the layers hold what has been trained so far."""
        with self.network._network_lock.alone:
            self.runner.flush()
            self.layer_state.attach()

    def _show_copies(self) -> dict[str, Array]:
        """Let the layers hold copies of their parameters; return these by name."""
        copies = {name: self.backend.copy(getattr(*owner)) for name, owner in self.owners.items()}
        for name, owner in self.owners.items():
            setattr(*owner, copies[name])
        return copies

    def _regularized(self) -> RuntimeError | None:
        """Make the error for weight decay or clipping that the steps of the plan do not have."""
        chain, optimizer = self.plan.chain, self.optimizer
        decayed = tuple(filter(optimizer.decays, chain.parameters))
        same = (optimizer.clip_norm is None or chain.clips) and decayed in ((), chain.decayed)
        if same or not isinstance(chain.update, Rule):
            return None
        return RuntimeError(
            f"a callback changed the optimizer to {optimizer!r}: call fit again for weight decay "
            "of other parameters, or for clipping, than it began with"
        )

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
