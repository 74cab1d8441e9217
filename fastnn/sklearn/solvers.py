"""scikit-learn's solvers as optimizers of fastnn: its formulas, and its ends of a training.

Its L2 term is ``alpha / 2 * sum(W**2)`` divided by the samples of the batch, or by the sum of their
weights. So the weight decay differs from step to step, and it is a part of the loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.backends.arrays import Array
from fastnn.backends.plan import Rule
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.optimizers import SGD, Adam, Momentum, Nesterov

SMALLEST_RATE = 1e-6
"""Where an adaptive learning rate ends the training."""


class Solver(Optimizer):
    """What all solvers have in common.

    Parameters
    ----------
    alpha : float
        The factor of the L2 term.
    learning_rate_init : float
    """

    penalty_in_loss = 1.0

    def __init__(self, alpha: float, learning_rate_init: float) -> None:
        self.weight_decay = alpha
        self.learning_rate_init = learning_rate_init
        self.learning_rate = float(learning_rate_init)
        self._decays: np.ndarray[Any, Any] = np.empty(0)
        self._begun = 0

    def begin_epoch(self, sums: np.ndarray[Any, Any]) -> None:
        """Take the sum of the weights (steps,) of the samples of each batch.

        A batch whose weights are all 0 changes nothing, and so has no L2 term.
        """
        self._begun = self.iter
        whole = np.where(sums > 0, sums, np.inf)
        self._decays = self.weight_decay / whole

    def hyperparameters_of_steps(self, steps: int) -> dict[str, Any]:
        """See `Optimizer.hyperparameters_of_steps`."""
        first = self.iter - self._begun
        numbers = self.numbers_of_steps(steps)
        return {**numbers, "weight_decay": self._decays[first : first + steps]}

    def numbers_of_steps(self, steps: int) -> dict[str, Any]:
        """Give what the rule reads in the next steps."""
        raise NotImplementedError

    def end_epoch(self, samples: int) -> None:
        """Change the learning rate when an epoch is over; `samples` were seen so far."""

    def ends(self, message: str, verbose: bool) -> bool:
        """Whether to end a training that does not improve, which `message` says."""
        if verbose:
            print(f"{message} Stopping.")
        return True


class Sgd(Solver):
    """Gradient descent, with the learning rates of the parameter `learning_rate`.

    Parameters
    ----------
    alpha, learning_rate_init : float
    schedule : {"constant", "invscaling", "adaptive"}
    power_t, momentum : float
    """

    rule = SGD.rule

    def __init__(
        self,
        alpha: float,
        learning_rate_init: float,
        schedule: str,
        power_t: float,
        momentum: float,
    ) -> None:
        super().__init__(alpha, learning_rate_init)
        self.schedule, self.power_t, self.momentum = schedule, power_t, momentum

    def numbers_of_steps(self, steps: int) -> dict[str, Any]:
        """See `Solver.numbers_of_steps`."""
        return {"lr": self.learning_rate, "momentum": self.momentum}

    def end_epoch(self, samples: int) -> None:
        """See `Solver.end_epoch`."""
        if self.schedule == "invscaling":
            self.learning_rate = self.learning_rate_init / (samples + 1) ** self.power_t

    def ends(self, message: str, verbose: bool) -> bool:
        """See `Solver.ends`: not before an adaptive learning rate is as small as it gets."""
        if self.schedule != "adaptive":
            return super().ends(message, verbose)
        if self.learning_rate <= SMALLEST_RATE:
            return super().ends(f"{message} Learning rate too small.", verbose)
        self.learning_rate /= 5.0
        if verbose:
            print(f"{message} Setting learning rate to {self.learning_rate:f}")
        return False


class SgdWithMomentum(Sgd):
    """`Sgd` by the rule of `fastnn.Momentum`."""

    rule = Momentum.rule
    v: dict[str, Array] | None = None


class SgdWithNesterov(Sgd):
    """`Sgd` by the rule of `fastnn.Nesterov`."""

    rule = Nesterov.rule
    v: dict[str, Array] | None = None


class AdamWithEpsilon(Solver):
    """`fastnn.Adam` with an epsilon of the user's.

    Parameters
    ----------
    alpha, learning_rate_init, beta_1, beta_2, epsilon : float
    """

    assert Adam.rule is not None
    rule = Rule(
        Adam.rule.primitive,
        hyperparameters=(*Adam.rule.hyperparameters, "epsilon"),
        state=Adam.rule.state,
    )
    m: dict[str, Array] | None = None
    v: dict[str, Array] | None = None

    def __init__(
        self,
        alpha: float,
        learning_rate_init: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
    ) -> None:
        super().__init__(alpha, learning_rate_init)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def numbers_of_steps(self, steps: int) -> dict[str, Any]:
        """See `Solver.numbers_of_steps`; ``lr_t`` as in `fastnn.Adam`, of all steps at once."""
        t = np.arange(self.iter + 1, self.iter + steps + 1, dtype=np.float64)
        rates = self.learning_rate_init * np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        return {
            "lr_t": rates,
            "one_minus_beta1": 1 - self.beta_1,
            "one_minus_beta2": 1 - self.beta_2,
            "epsilon": self.epsilon,
        }


def make_solver(estimator: Any) -> Solver:
    """Make the solver that an estimator's parameters say.

    scikit-learn's loss of several numbers is the mean over the outputs, plus the L2 term; but its
    gradient is that of their sum, as `fastnn.MeanSquaredError` has it.
    """
    solver = _make(estimator)
    if estimator.out_activation_ == "identity":
        solver.penalty_in_loss = float(estimator.n_outputs_)
    return solver


def _make(estimator: Any) -> Solver:
    alpha, lr = estimator.alpha, estimator.learning_rate_init
    if estimator.solver == "adam":
        return AdamWithEpsilon(alpha, lr, estimator.beta_1, estimator.beta_2, estimator.epsilon)
    cls: type[Sgd] = SgdWithNesterov if estimator.nesterovs_momentum else SgdWithMomentum
    if estimator.momentum == 0:
        cls = Sgd  # the same, without a velocity
    return cls(alpha, lr, estimator.learning_rate, estimator.power_t, estimator.momentum)
