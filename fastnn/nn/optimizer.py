"""What an optimizer is: a rule, its numbers, its state, and how a dictionary is updated by it.

An optimizer states its rule once: which primitive of a backend changes a parameter and its state,
and which numbers it reads besides. The loop of one's own (`Optimizer.update`, as in the book), the
step plan of `fastnn.fit` and the compiled steps all follow from that.

An optimizer of your own may as well have nothing but an ``update(params, grads)``, as the book's.
Then `fit` calls it once for each step, when the gradients have been computed. What it costs
is told in `fastnn.fit`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Mapping
from os import PathLike
from typing import Any, ClassVar, Self

from fastnn.backends.arrays import Array
from fastnn.backends.plan import Rule
from fastnn.backends.selection import backend_of
from fastnn.checks import check_flag, check_rate
from fastnn.nn.copies import DeviceArray, arrived, attributes_of, set_attributes, shallow
from fastnn.nn.optimizer_file import read_optimizer, write_optimizer
from fastnn.nn.schedules import check_lr, rate_at, rates
from fastnn.nn.updating import update_by_rule
from fastnn.nn.weight_decay import is_weight
from fastnn.wording import shown


class Optimizer:
    """A rule for updating a parameter from its gradient.

    Attributes
    ----------
    rule : Rule or None
        The rule; None where a class has an `update` of its own instead. Of each of its ``state``
        the optimizer has a dictionary under that name, such as ``optimizer.v["W1"]``: arrays like
        the parameters of these names, made when they are first needed. A `fit` goes on with what
        another one, or `update`, has left there; in a new optimizer they are empty.
    iter : int
        Steps taken so far.
    """

    rule: ClassVar[Rule | None] = None
    iter: int = 0
    weight_decay: float = 0.0
    penalty_in_loss: float = 0.0
    """How many times ``weight_decay / 2 * sum(W**2)`` stands in the loss that `fit` reports."""
    decay_all: bool = False
    clip_norm: float | None = None

    def hyperparameters(self) -> dict[str, Any]:
        """Give the numbers that the rule reads, as they are now: a callback may change them.

        They are the attributes of these names: floats, or functions of the step. They are read once
        for many steps, how many is not said, and must not change between epochs.
        """
        names = () if self.rule is None else self.rule.hyperparameters
        return {name: getattr(self, name) for name in names}

    def hyperparameters_of_steps(self, steps: int) -> dict[str, Any]:
        """Give what is read in each of the next steps: by the rule, weight decay and clipping.

        Parameters
        ----------
        steps : int
            How many, from step `iter` on.

        Returns
        -------
        dict of str to float or array (steps,)
            One number for all of these steps, or one for each.

        Raises
        ------
        TypeError, ValueError
            If a function of the step gives what is no finite number from 0 on.
        """
        numbers = self._numbers()
        return {name: rates(value, self.iter, steps, name) for name, value in numbers.items()}

    def _numbers(self) -> dict[str, Any]:
        numbers = dict(self.hyperparameters())
        if self.rule is not None and self.rule.decouples_decay:
            numbers.setdefault("lr", self.lr)  # type: ignore[attr-defined]
        numbers["weight_decay"] = self.weight_decay
        numbers["clip_norm"] = math.inf if self.clip_norm is None else self.clip_norm
        return numbers

    def decays(self, name: Hashable) -> bool:
        """Whether the parameter of this name has weight decay; see `fastnn.nn.weight_decay`."""
        return self.weight_decay != 0 and (self.decay_all or is_weight(name))

    def update(self, params: Mapping[str, Any], grads: Mapping[str, Any]) -> None:
        """Update every parameter from its gradient, by the rule; SGD: ``p -= lr * g``.

        Parameters
        ----------
        params : mapping of str to array or number
            As ``network.params``. Arrays of a backend are changed in place; numbers, Python's and
            NumPy's, are assigned.
        grads : mapping of str to array or number
            As ``network.gradient(x, t)``, of the shape of the parameters; of any library. They stay
            as they are.

        Raises
        ------
        KeyError
            If a parameter has no gradient; none is changed then, nor in the cases below.
        TypeError
            If `params` or `grads` is no mapping, one cannot be assigned to that has numbers, a
            parameter is no array of floats of a backend and no number, or a gradient is none.
        ValueError
            If a gradient, or the state of an earlier update, has another shape than its parameter,
            a number is beyond the range of a float, a parameter is read-only, or gradients of
            several backends are to be clipped together.
        """
        if self.rule is None:
            raise NotImplementedError(f"{type(self).__name__} has neither a rule nor an update")
        numbers = {name: rate_at(value, self.iter, name) for name, value in self._numbers().items()}
        clips = self.clip_norm is not None
        update_by_rule(
            self.rule, numbers, params, grads, self.state, clips=clips, decays=self.decays
        )
        self.iter += 1

    @property
    def state(self) -> dict[str, dict[str, Array]]:
        """What the rule remembers: of each name in ``rule.state`` the arrays by parameter."""
        names = () if self.rule is None else self.rule.state
        for name in names:
            if vars(self).get(name) is None:  # as the book's optimizers have it at first
                setattr(self, name, {})
        return {name: getattr(self, name) for name in names}

    def save(self, path: str | PathLike[str]) -> None:
        """Write what the rule remembers, and `iter`, to a safetensors file, atomically.

        With that, the network's own file, and a generator of NumPy's as the seed of `fit`, a
        training goes on to the bit as if it had not been stopped. The arguments that the optimizer
        was made with are not in the file.

        Parameters
        ----------
        path : path
            As of ``network.save``.

        Raises
        ------
        OSError
            If the file cannot be written.
        TypeError
            If the optimizer has no rule, or state that is of another dtype than float32 and
            float64: pickle it then.
        """
        write_optimizer(path, self._kind(), self.iter, self.state)

    def load(self, path: str | PathLike[str]) -> Self:
        """Read what `save` has written for an optimizer of this class; all or nothing.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Optimizer
            The optimizer itself. Its state goes where the parameters are when it is next used.

        Raises
        ------
        OSError
            If the file cannot be read.
        fastnn.CorruptFileError
            If it is not as it was written.
        TypeError
            If the optimizer has no rule.
        ValueError
            If it is the state of another optimizer.
        """
        steps, state = read_optimizer(path, self._kind(), tuple(self.state))
        self.iter = steps
        for name, arrays in state.items():
            setattr(self, name, arrays)
        return self

    def _kind(self) -> str:
        if self.rule is None or not isinstance(self.described_update(), Rule):
            raise TypeError(
                f"{type(self).__name__} has no rule that says what its state is: pickle it"
            )
        return type(self).__name__

    def __copy__(self) -> Self:
        """Give an optimizer with a state of its own."""
        twin = shallow(self)
        for name, by_parameter in self.state.items():
            copies = {key: _copied(array) for key, array in by_parameter.items()}
            object.__setattr__(twin, name, copies)
        return twin

    def __getstate__(self) -> object:
        attributes = attributes_of(self)
        for name, by_parameter in self.state.items():
            attributes[name] = {key: _carried(array) for key, array in by_parameter.items()}
        return attributes

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        set_attributes(self, attributes)
        for name, by_parameter in self.state.items():
            object.__setattr__(self, name, arrived(by_parameter))

    def described_update(self) -> Rule | Callable[[dict[str, Array], dict[str, Array]], None]:
        """Give the rule, or the `update` that a subclass has in its place, for a step plan.

        Raises
        ------
        TypeError
            If there is neither.
        """
        if "update" in vars(self) or type(self).update is not Optimizer.update:
            return self.update
        if self.rule is None:
            raise TypeError(
                f"{type(self).__name__} has no update: write one, update(self, params, grads), "
                "that changes the arrays of the dictionary params by those of grads"
            )
        return self.rule


def _copied(array: Any) -> Any:
    return backend_of(array).copy(array) if hasattr(array, "shape") else array


def _carried(array: Any) -> Any:
    backend = backend_of(array)
    return array if backend.on_host else DeviceArray(array, backend)


class Descent(Optimizer):
    """What all of fastnn's optimizers have: a learning rate, weight decay, clipping.

    Parameters
    ----------
    lr : float or callable
        Learning rate, finite and not negative; or a function that gives it for a step, from 0 on:
        `Constant`, `StepDecay`, `Cosine`, `Warmup`, or one of your own.
    weight_decay : float
        Adds ``weight_decay * W`` to the gradient of each weight W, which is the gradient of a
        penalty ``weight_decay / 2 * sum(W**2)``, as the book's ``weight_decay_lambda`` and
        PyTorch's ``weight_decay``. The loss that is shown is without the penalty.
    decay_all : bool
        Whether biases decay, too, and the gamma and beta of batch normalisation, as in PyTorch. By
        default no parameter does whose name begins or ends with the word b, bias, gamma or beta,
        such as "b1" or "out.bias".
    clip_norm : float, optional
        If given, all gradients are scaled down by one factor when the norm of all of them together
        is larger: PyTorch's ``clip_grad_norm_``, Keras' ``global_clipnorm``. Weight decay is added
        afterwards.

    Raises
    ------
    TypeError, ValueError
        If a number is no real one, or out of its range.
    """

    def __init__(
        self, lr: Any, *, weight_decay: float, decay_all: bool, clip_norm: float | None
    ) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        self.decay_all = decay_all
        self.clip_norm = clip_norm

    @property
    def lr(self) -> Any:
        """The learning rate, or the function of the step that gives it; may be set again."""
        return self._lr

    @lr.setter
    def lr(self, value: Any) -> None:
        self._lr = check_lr(value)

    @property
    def weight_decay(self) -> float:
        """The factor of the penalty, from 0 on."""
        return self._weight_decay

    @weight_decay.setter
    def weight_decay(self, value: float) -> None:
        self._weight_decay = check_rate(value, "weight_decay")

    @property
    def decay_all(self) -> bool:
        """Whether biases decay, too."""
        return self._decay_all

    @decay_all.setter
    def decay_all(self, value: bool) -> None:
        self._decay_all = check_flag(value, "decay_all")

    @property
    def clip_norm(self) -> float | None:
        """The largest norm that gradients keep, greater than 0; None if there is none."""
        return self._clip_norm

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        norm = None if value is None else check_rate(value, "clip_norm")
        if norm == 0:
            raise ValueError(f"clip_norm must be greater than 0, got {shown(value)}")
        self._clip_norm = norm

    def __repr__(self) -> str:
        arguments = [
            f"{name}={getattr(self, name)!r}"
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if hasattr(self, name)
            and (
                parameter.kind is not parameter.KEYWORD_ONLY
                or getattr(self, name) != parameter.default
            )
        ]
        return f"{type(self).__name__}({', '.join(arguments)})"
