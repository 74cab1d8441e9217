"""How parameters follow their gradients.

An optimizer states its rule once: which primitive of a backend changes a parameter, and which
numbers it reads besides. The loop of one's own (`Optimizer.update`, as in the book), the step plan
of `fastnn.fit` and the compiled steps all follow from that.

An optimizer of your own may as well have nothing but an ``update(params, grads)``, as the book's.
Then `fit` calls it once for each step, when the gradients have been computed. What it costs
is told in `fastnn.fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from fastnn.backends.arrays import Array
from fastnn.backends.plan import Rule
from fastnn.checks import check_rate
from fastnn.nn.updating import update_by_rule


class Optimizer:
    """A rule for updating a parameter from its gradient.

    Attributes
    ----------
    rule : Rule or None
        The rule; None where a class has an `update` of its own instead.
    """

    rule: ClassVar[Rule | None] = None

    def hyperparameters(self) -> dict[str, float]:
        """Give the numbers that the rule reads, as they are now: a callback may change them.

        They are the attributes of these names. They are read once for many steps, how many is not
        said, and must not change between epochs.
        """
        names = () if self.rule is None else self.rule.hyperparameters
        return {name: getattr(self, name) for name in names}

    def update(self, params: Mapping[str, Any], grads: Mapping[str, Any]) -> None:
        """Update every parameter from its gradient, by the rule; SGD: ``p -= lr * g``.

        Parameters
        ----------
        params : mapping of str to array or number
            As ``network.params``. Arrays of a backend are changed in place; numbers, Python's and
            NumPy's, are assigned.
        grads : mapping of str to array or number
            As ``network.gradient(x, t)``, of the shape of the parameters; of any library.

        Raises
        ------
        KeyError
            If a parameter has no gradient; none is changed then, nor in the cases below.
        TypeError
            If `params` or `grads` is no mapping, one cannot be assigned to that has numbers, a
            parameter is no array of floats of a backend and no number, or a gradient is none.
        ValueError
            If a gradient has another shape than its parameter, a number is beyond the range of a
            float, or a parameter is read-only.
        """
        if self.rule is None:
            raise NotImplementedError(f"{type(self).__name__} has neither a rule nor an update")
        update_by_rule(self.rule, self.hyperparameters(), params, grads)

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


class SGD(Optimizer):
    """Stochastic gradient descent: ``W -= lr * dW``.

    Parameters
    ----------
    lr : float, optional
        Learning rate, finite and not negative. It may be set again between epochs.

    Raises
    ------
    TypeError, ValueError
        If `lr` is no real number, NaN, infinite or negative.
    """

    rule = Rule("sgd_update", hyperparameters=("lr",))

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = lr

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = check_rate(value, "lr")

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr!r})"
