"""Parameters, targets, weights and sparse data at random: what scikit-learn makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")

from sklearn import neural_network

import fastnn
from fastnn import sklearn as ours
from tests.helpers.sklearn_problems import difference

CHOICES: dict[str, tuple[Any, ...]] = {
    "activation": ("relu", "tanh", "logistic", "identity"),
    "solver": ("adam", "sgd"),  # L-BFGS doubles differences of rounding from step to step
    "alpha": (0.0, 1e-4, 0.1, 1.0),
    "batch_size": ("auto", 1, 7, 32),
    "learning_rate": ("constant", "invscaling", "adaptive"),
    "learning_rate_init": (1e-3, 0.02),
    "shuffle": (True, False),
    "tol": (1e-4, 0.05, 1.0),
    "momentum": (0.0, 0.5, 0.9),
    "nesterovs_momentum": (True, False),
    "n_iter_no_change": (1, 3, 10),
    "hidden_layer_sizes": ((), (5,), (4, 3)),
}


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(60))
def test_both_learn_the_same(seed: int) -> None:
    sparse, rng = pytest.importorskip("scipy.sparse"), np.random.default_rng(seed)

    def one_of(values: Any) -> Any:
        return values[rng.integers(len(values))]

    samples, features = int(rng.integers(12, 150)), int(rng.integers(1, 9))
    X = rng.standard_normal((samples, features))
    X = one_of((X, sparse.csr_matrix(np.where(np.abs(X) < 0.7, 0, X))))
    options = {name: one_of(values) for name, values in CHOICES.items()}
    options |= {"random_state": seed, "max_iter": int(rng.integers(1, 40))}
    options[one_of(("early_stopping", "warm_start"))] = True
    kind = one_of(("MLPClassifier", "MLPRegressor"))
    if kind == "MLPClassifier":
        labels = rng.integers(0, 3, samples)
        y = one_of((labels, labels % 2, np.array(list("xyz"))[labels], np.eye(3)[labels]))
    else:
        options["loss"] = one_of(("squared_error", "poisson"))
        y = rng.poisson(2, (samples, int(rng.integers(1, 3))))
        y = y.ravel() if y.shape[1] == 1 else y
    weights = one_of((None, rng.random(samples)))
    with fastnn.use_backend("numpy"):
        fitted = []
        for module in (neural_network, ours):
            estimator = getattr(module, kind)(**options)
            for _ in range(2 if options.get("warm_start") else 1):
                estimator.fit(X, y, sample_weight=weights)
            fitted.append(estimator)
        theirs, own = fitted
    assert difference(theirs, own) < 1e-6
    assert (own.n_iter_, own.t_) == (theirs.n_iter_, theirs.t_)
    losses = np.array([own.loss_curve_, theirs.loss_curve_])
    losses = losses[:, losses[1] < 20]  # scikit-learn cuts the others off: see docs/sklearn.md
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
