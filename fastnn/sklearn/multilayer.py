"""What both estimators have in common: scikit-learn's own, with fastnn's arithmetic in its place.

They are subclasses of scikit-learn's estimators, which check parameters and data, make labels
binary, draw the initial weights and judge whether the training still improves. What is replaced
is what computes: an epoch, a gradient of all samples, a prediction.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import shuffle
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import validate_data

from fastnn.nn.dropout import Dropout
from fastnn.nn.sequential import Sequential
from fastnn.sklearn.answers import answers
from fastnn.sklearn.epochs import Epochs, epochs_of
from fastnn.sklearn.networks import initial_normalization, make_network, read_back
from fastnn.sklearn.solvers import make_solver
from fastnn.sklearn.whole_gradient import WholeGradient
from fastnn.system.standard_streams import warn
from fastnn.threads import num_threads

DEFAULT_BATCH_SIZE = 200
"""What ``batch_size="auto"`` means, or all samples if they are fewer."""

CONSTRAINTS: dict[str, list[Any]] = {
    "backend": [str, None],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "batch_norm": ["boolean"],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
}
"""What scikit-learn checks of the parameters that its own estimators do not have."""


HOOKS = (
    "_backprop", "_fit", "_fit_lbfgs", "_fit_stochastic", "_forward_pass_fast", "_initialize",
    "_update_no_improvement_count",
)  # fmt: skip
"""The methods of scikit-learn's estimators, none of them public, in whose place fastnn computes."""


def check_hooks(cls: type) -> None:
    """Refuse a scikit-learn whose estimators would not call what replaces their methods.

    Raises
    ------
    ImportError
        If `cls`, one of its estimators, lacks one of the `HOOKS`.
    """
    missing = [name for name in HOOKS if not hasattr(cls, name)]
    if missing:
        raise ImportError(
            f"fastnn.sklearn knows scikit-learn from 1.7 to 1.9, and {cls.__name__} of "
            f"{sklearn.__version__} has no {' and no '.join(missing)}: install one of these"
        )


class Multilayer(BaseEstimator):
    """To be put before an estimator of scikit-learn's among the bases of a class."""

    backend: str | None
    dropout: float
    batch_norm: bool
    n_threads: int | None

    def to_network(self) -> Sequential:
        """Give a network of fastnn's with copies of what was learned, on the active backend.

        Its `predict` gives scores: probabilities before the softmax or the logistic function.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If nothing was learned yet.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return make_network(self, None)

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False) -> Any:
        """Leave what was learned before as it was where data are refused."""
        before = {
            name: list(value) if isinstance(value, list) else value
            for name, value in vars(self).items()
        }
        try:
            return super()._fit(X, y, sample_weight=sample_weight, incremental=incremental)
        except Exception:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _initialize(self, y: Any, layer_units: list[int], dtype: Any) -> None:
        super()._initialize(y, layer_units, dtype)
        if self.batch_norm:
            hidden = layer_units[1:-1]
            self.normalizations_ = [initial_normalization(units, dtype) for units in hidden]
            self._best_normalizations = self.normalizations_
        elif hasattr(self, "normalizations_"):  # of a training before
            del self.normalizations_

    def _fit_stochastic(self: Any, X: Any, y: Any, sample_weight: Any, *workspace: Any) -> None:
        incremental = workspace[-1]
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        self._check_batch_norm()
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = make_solver(self)
        X, y, sample_weight, *held_out = self._split(X, y, sample_weight)
        samples = int(X.shape[0])
        batch_size = self._batch_size(samples)
        with num_threads(self.n_threads):
            network = make_network(self, self.backend)
            self._begin_draws(network)
            solver = self._optimizer
            with epochs_of(network, X, y, sample_weight, solver, batch_size) as epochs:
                try:
                    self._train(epochs, samples, held_out, incremental)
                except KeyboardInterrupt:
                    warn("Training interrupted by user.", UserWarning)
        read_back(self, network)
        if self.early_stopping:
            self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts
            if self.batch_norm:
                self.normalizations_ = self._best_normalizations

    def _check_batch_norm(self) -> None:
        """Refuse to go on with a network that was made with another `batch_norm`.

        Raises
        ------
        ValueError
            If the parameter was changed since then.
        """
        if self.batch_norm != hasattr(self, "normalizations_"):
            raise ValueError(
                f"batch_norm is {self.batch_norm}, but the network to go on with was made with "
                f"batch_norm={not self.batch_norm}: set it back, or fit anew with warm_start=False"
            )

    def _train(
        self: Any, epochs: Epochs, samples: int, held_out: list[Any], incremental: bool
    ) -> None:
        """Go through epochs until there is a reason to end."""
        order = np.arange(samples)
        self.n_iter_ = 0
        while self.n_iter_ < self.max_iter:
            if self.shuffle:
                order = shuffle(order, random_state=self._random_state)
            self.loss_ = epochs(order) / self._optimizer.penalty_in_loss
            if self.early_stopping:
                read_back(self, epochs.network)
            self.n_iter_ += 1
            self.t_ += samples
            self.loss_curve_.append(self.loss_)
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
            self._update_no_improvement_count(self.early_stopping, *held_out)
            self._optimizer.end_epoch(self.t_)
            if self._no_improvement_count > self.n_iter_no_change:
                if self._optimizer.ends(self._reason_to_end(), self.verbose):
                    return
                self._no_improvement_count = 0
            if incremental:
                return
        warn(
            f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
            "optimization hasn't converged yet.",
            ConvergenceWarning,
        )

    def _reason_to_end(self: Any) -> str:
        stands = (
            "Validation score did not improve" if self.early_stopping else
            "Training loss did not improve"
        )  # fmt: skip
        many = f"for {self.n_iter_no_change} consecutive epochs."
        return f"{stands} more than tol={self.tol:f} {many}"

    def _split(self: Any, X: Any, y: Any, sample_weight: Any) -> list[Any]:
        """Give samples, targets and weights to train on, then those that are held out, or None."""
        if not self.early_stopping:
            return [X, y, sample_weight, None, None, None]
        stratify = y if is_classifier(self) and self.n_outputs_ == 1 else None
        arrays = [X, y] if sample_weight is None else [X, y, sample_weight]
        parts = train_test_split(
            *arrays,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=stratify,
        )
        if sample_weight is None:
            parts += [None, None]
        X, X_val, y, y_val, weights, weights_val = parts
        if X_val.shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        if is_classifier(self):
            y_val = self._label_binarizer.inverse_transform(y_val)
        return [X, y, weights, X_val, y_val, weights_val]

    def _batch_size(self: Any, samples: int) -> int:
        if self.batch_size == "auto":
            return min(DEFAULT_BATCH_SIZE, samples)
        if self.batch_size > samples:
            warn(
                f"Got `batch_size`={self.batch_size}, larger than sample size {samples}. "
                "It is going to be clipped",
                UserWarning,
            )
        return min(int(self.batch_size), samples)

    def _begin_draws(self: Any, network: Sequential) -> None:
        """Give each layer that drops units a key of the random state, and let it go on drawing."""
        for layer in network.layers.values():
            if isinstance(layer, Dropout):
                layer.key = int(self._random_state.randint(np.iinfo(np.int64).max, dtype=np.int64))
                layer.draws = self._optimizer.iter

    def _update_no_improvement_count(self: Any, early_stopping: bool, *held_out: Any) -> None:
        best = self.best_validation_score_
        super()._update_no_improvement_count(early_stopping, *held_out)
        if self.batch_norm and self.best_validation_score_ != best:
            self._best_normalizations = [
                [array.copy() for array in arrays] for arrays in self.normalizations_
            ]

    def _fit_lbfgs(self: Any, X: Any, y: Any, sample_weight: Any, *workspace: Any) -> None:
        if self.dropout or self.batch_norm:
            raise ValueError(
                'solver="lbfgs" needs a loss that depends on the parameters alone: take '
                'dropout=0 and batch_norm=False, or solver="adam"'
            )
        with num_threads(self.n_threads):
            network = make_network(self, self.backend, dtype="float64")
            outputs = self.n_outputs_ if self.out_activation_ == "identity" else 1
            data = X, y, sample_weight
            self._whole_gradient = WholeGradient(network, *data, self.alpha, outputs)
            try:
                super()._fit_lbfgs(X, y, sample_weight, *workspace)
            finally:
                del self._whole_gradient

    def _backprop(self: Any, X: Any, y: Any, *workspace: Any) -> Any:
        return self._whole_gradient(self.coefs_, self.intercepts_)

    def _forward_pass_fast(self: Any, X: Any, check_input: bool = True) -> Any:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        with num_threads(self.n_threads):
            network = make_network(self, self.backend, copies=False)
            return answers(network, X, self.out_activation_)
