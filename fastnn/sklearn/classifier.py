"""The classifier: of several classes, of two, of several labels at a time."""

from __future__ import annotations

from typing import Any, ClassVar

import sklearn.neural_network
from sklearn.utils._param_validation import StrOptions

from fastnn.sklearn.class_weights import with_class_weight
from fastnn.sklearn.multilayer import CONSTRAINTS, Multilayer, check_hooks

check_hooks(sklearn.neural_network.MLPClassifier)


class MLPClassifier(Multilayer, sklearn.neural_network.MLPClassifier):
    """`sklearn.neural_network.MLPClassifier`, trained by fastnn.

    Parameters
    ----------
    hidden_layer_sizes, activation, solver, ..., max_fun : optional
        As scikit-learn's, with its defaults.
    backend : str, optional
        Where it computes: "numpy", "numba", "cupy"; None for the active backend, see
        `fastnn.set_backend`. What was learned is in arrays of NumPy's: another one may go on.
    dropout : float, optional
        The share of hidden units that is dropped in training, from 0 to below 1; see
        `fastnn.Dropout`. Not with ``solver="lbfgs"``.
    batch_norm : bool, optional
        Whether hidden layers are normalised over the batch before their activation; see
        `fastnn.BatchNormalization`. Not with ``solver="lbfgs"``.
    n_threads : int, optional
        Threads on the CPU while it fits and predicts; None for `fastnn.get_num_threads`.
    class_weight : dict, list of dict or "balanced", optional
        What the weights of samples are multiplied by, for each class; a list has a dictionary for
        each of several labels, ``[{0: 1, 1: 5}, {0: 1, 1: 2}]``. "balanced": by the number of
        samples divided by that of classes and by the samples of the class, as elsewhere in
        scikit-learn. Not "balanced" in `partial_fit`, which does not see all samples.

    Attributes
    ----------
    classes_, coefs_, intercepts_, loss_, loss_curve_, best_loss_, n_iter_, t_, ...
        As scikit-learn's: arrays of NumPy's.
    normalizations_ : list of list of array (units,)
        With `batch_norm`, for each hidden layer gamma, beta, and the running mean and variance.

    Raises
    ------
    ValueError, TypeError
        For parameters and data that scikit-learn refuses; for `dropout` and `batch_norm` with
        ``solver="lbfgs"``; if `batch_norm` would see a batch of one sample.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> MLPClassifier(max_iter=400, random_state=0).fit(X / 16, y).score(X / 16, y) > 0.99
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **sklearn.neural_network.MLPClassifier._parameter_constraints,
        **CONSTRAINTS,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        backend: str | None = None,
        dropout: float = 0.0,
        batch_norm: bool = False,
        n_threads: int | None = None,
        class_weight: dict[Any, float] | list[dict[Any, float]] | str | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
        )
        self.backend = backend
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.n_threads = n_threads
        self.class_weight = class_weight

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False) -> Any:
        if self.class_weight is not None:
            sample_weight = with_class_weight(self.class_weight, X, y, sample_weight, incremental)
        return super()._fit(X, y, sample_weight=sample_weight, incremental=incremental)
