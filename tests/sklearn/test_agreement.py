"""From one `random_state`, the coefficients and losses of scikit-learn's own estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")

from sklearn import neural_network

import fastnn
from fastnn import sklearn as ours
from fastnn.backends import Backend
from fastnn.nn import sequential
from tests.helpers.exhaustive import exhaustive_but
from tests.helpers.sklearn_problems import classes, difference, numbers, outputs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

STEPS, BATCH = 50, 30
"""Five batches an epoch, of which the last one is shorter."""

SOLVERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adam, another epsilon": {"epsilon": 0.01, "beta_1": 0.5},
    "nesterov": {"solver": "sgd"},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 1.0},
    "sgd": {"solver": "sgd", "momentum": 0.0},
    "lbfgs": {"solver": "lbfgs"},
}
ACTIVATIONS = ("relu", "tanh", "logistic", "identity")
ALWAYS = [("adam", "relu"), ("nesterov", "tanh"), ("sgd", "identity"), ("lbfgs", "logistic")]


def both(kind: str, X: Any, y: Any, **options: Any) -> tuple[Any, Any]:
    """Fit scikit-learn's estimator and ours."""
    options = {"max_iter": 10, "batch_size": BATCH, "random_state": 5, "alpha": 0.1, **options}
    options = {"hidden_layer_sizes": (9,), **options}
    if options.get("solver") == "lbfgs":
        del options["batch_size"]
        options["max_iter"] = 50
    theirs = getattr(neural_network, kind)(**options).fit(X, y)
    return theirs, getattr(ours, kind)(**options).fit(X, y)


def check_alike(theirs: Any, ours: Any) -> None:
    assert difference(theirs, ours) < 1e-6
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.t_ == theirs.t_
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)
    if hasattr(theirs, "loss_curve_"):
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
        assert (ours.best_loss_ is None) == (theirs.best_loss_ is None)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", list(SOLVERS))
def test_solvers_and_activations(solver: str, activation: str) -> None:
    X = numbers(0)
    with fastnn.use_backend("numpy"):
        check_alike(
            *both("MLPClassifier", X, classes(X, 3), activation=activation, **SOLVERS[solver])
        )


@pytest.mark.parametrize(
    ("solver", "activation"),
    exhaustive_but(ALWAYS, [(solver, each) for solver in SOLVERS for each in ACTIVATIONS]),
)
def test_on_every_backend(solver: str, activation: str, backend: Backend) -> None:
    X = numbers(0)
    check_alike(*both("MLPClassifier", X, classes(X, 3), activation=activation, **SOLVERS[solver]))


TARGETS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "two classes": ("MLPClassifier", lambda X: classes(X, 2), {}),
    "strings": ("MLPClassifier", lambda X: np.array(["b", "a", "c"])[classes(X, 3)], {}),
    "several labels": ("MLPClassifier", lambda X: outputs(X, 3) > 0, {}),
    "a number": ("MLPRegressor", lambda X: outputs(X, 1)[:, 0], {}),
    "several numbers": ("MLPRegressor", lambda X: outputs(X, 3), {}),
    "counts": ("MLPRegressor", lambda X: classes(X, 4), {"loss": "poisson"}),
}


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("target", list(TARGETS))
def test_targets(target: str, solver: str) -> None:
    kind, make, options = TARGETS[target]
    X = numbers(1)
    with fastnn.use_backend("numpy"):
        theirs, own = both(kind, X, make(X), solver=solver, **options)
    check_alike(theirs, own)
    if kind == "MLPClassifier":
        np.testing.assert_array_equal(own.predict(X), theirs.predict(X))
        np.testing.assert_allclose(own.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
        with np.errstate(divide="ignore"):
            logarithms = own.predict_log_proba(X), np.log(own.predict_proba(X))
        np.testing.assert_array_equal(*logarithms)
    else:
        np.testing.assert_allclose(own.predict(X), theirs.predict(X), atol=1e-5)
    np.testing.assert_allclose(own.score(X, make(X)), theirs.score(X, make(X)), atol=1e-6)


def test_the_compiled_loss_of_several_numbers_has_the_penalty_once() -> None:
    X = numbers(1)
    with fastnn.use_backend("numba"):
        check_alike(*both("MLPRegressor", X, outputs(X, 3), solver="sgd", momentum=0))


SCHEDULES: dict[str, dict[str, Any]] = {
    "invscaling": {"learning_rate": "invscaling", "power_t": 0.3},
    "adaptive": {"learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 2},
    "adaptive to the end": {
        "learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1,
        "learning_rate_init": 1e-5,
    },
    "no change": {"tol": 10.0, "n_iter_no_change": 3},
    "early stopping": {"early_stopping": True, "tol": 0.01, "n_iter_no_change": 3},
    "not shuffled": {"shuffle": False},
    "no penalty": {"alpha": 0.0},
    "layers": {"hidden_layer_sizes": (8, 5)},
    "no hidden layer": {"hidden_layer_sizes": ()},
}  # fmt: skip


@pytest.mark.parametrize("schedule", list(SCHEDULES))
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_ends_and_rates(schedule: str, kind: str) -> None:
    X = numbers(2)
    y = classes(X, 3) if kind == "MLPClassifier" else outputs(X, 2)
    with fastnn.use_backend("numpy"):
        theirs, own = both(kind, X, y, **{"max_iter": 40, "solver": "sgd", **SCHEDULES[schedule]})
    check_alike(theirs, own)
    assert own._optimizer.learning_rate == pytest.approx(theirs._optimizer.learning_rate)
    assert own.best_validation_score_ == theirs.best_validation_score_ or np.isclose(
        own.best_validation_score_, theirs.best_validation_score_
    )
    if own.validation_scores_ is not None:
        np.testing.assert_allclose(own.validation_scores_, theirs.validation_scores_)


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_training_that_goes_on(kind: str) -> None:
    X = numbers(3)
    y = classes(X, 3) if kind == "MLPClassifier" else outputs(X, 1)[:, 0]
    pair = [
        getattr(module, kind)(
            hidden_layer_sizes=(6,), batch_size=BATCH, random_state=1, max_iter=3, warm_start=True
        )
        for module in (neural_network, ours)
    ]
    with fastnn.use_backend("numpy"):
        for _ in range(2):
            check_alike(*[estimator.fit(X, y) for estimator in pair])
        for part in (slice(0, 70), slice(70, 130), slice(0, 40)):
            check_alike(*[estimator.partial_fit(X[part], y[part]) for estimator in pair])


def test_float32_stays_float32(backend: Backend) -> None:
    X = numbers(0)
    theirs, own = both("MLPClassifier", X.astype("float32"), classes(X, 3))
    assert {each.dtype.name for each in own.coefs_ + own.intercepts_} == {"float32"}
    assert own.predict_proba(X.astype("float32")).dtype == np.float32
    assert difference(theirs, own) < 1e-4


WEIGHTED: dict[str, tuple[str, Any, dict[str, Any]]] = {
    **TARGETS,
    "classes": ("MLPClassifier", lambda X: classes(X, 3), {}),
    "classes, early stopping": (
        "MLPClassifier", lambda X: classes(X, 3), {"early_stopping": True}
    ),
}  # fmt: skip


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("target", list(WEIGHTED))
def test_weights_of_samples(target: str, solver: str) -> None:
    kind, make, options = WEIGHTED[target]
    X = numbers(4)
    weights = np.random.default_rng(0).integers(0, 4, len(X)) / 2
    options = {"max_iter": 5, "batch_size": BATCH, "random_state": 5, "alpha": 0.1, **options}
    with fastnn.use_backend("numpy"):
        theirs, own = [
            getattr(module, kind)(solver=solver, **options).fit(X, make(X), sample_weight=weights)
            for module in (neural_network, ours)
        ]
    check_alike(theirs, own)


def test_weights_of_samples_in_the_compiled_step() -> None:
    X = numbers(4)
    weights = np.random.default_rng(0).integers(0, 4, len(X)) / 2
    with fastnn.use_backend("numba"):
        theirs, own = [
            module.MLPClassifier(max_iter=5, batch_size=BATCH, random_state=5, alpha=0.1).fit(
                X, classes(X, 3), sample_weight=weights
            )
            for module in (neural_network, ours)
        ]
    check_alike(theirs, own)


def test_weights_of_classes() -> None:
    X = numbers(4)
    y = classes(X, 3)
    given = np.random.default_rng(0).random(len(X))
    options: dict[str, Any] = {"max_iter": 5, "batch_size": BATCH, "random_state": 5}
    with fastnn.use_backend("numpy"):
        for class_weight, factors in (
            ({0: 2.0, 2: 0.5}, np.array([2.0, 1.0, 0.5])),
            ("balanced", len(X) / 3 / np.bincount(y)),
        ):
            own = ours.MLPClassifier(class_weight=class_weight, **options)
            by_hand = ours.MLPClassifier(**options)
            for weights in (None, given):
                own.fit(X, y, sample_weight=weights)
                by_hand.fit(X, y, sample_weight=factors[y] * (1 if weights is None else weights))
                assert difference(own, by_hand) < 1e-12
        with pytest.raises(ValueError, match="needs all samples"):
            own.partial_fit(X, y)


@pytest.mark.parametrize(
    ("kind", "solver"),
    [("csr_array", "adam"), ("csr_array", "lbfgs"), ("csr_matrix", "adam"), ("csc_matrix", "sgd")],
)
def test_sparse_data(kind: str, solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    monkeypatch.setattr(sequential, "CHUNK", 50)
    X = numbers(6)
    y = classes(X, 3)
    X[np.abs(X) < 1] = 0
    weights = np.random.default_rng(0).integers(0, 4, len(X)) / 2
    weights[50:100] = 0
    with fastnn.use_backend("numpy"):
        theirs, own = both("MLPClassifier", getattr(sparse, kind)(X), y, solver=solver)
        check_alike(theirs, own)
        given = [
            ours.MLPClassifier((9,), solver=solver, batch_size=BATCH, random_state=5, max_iter=5)
            .fit(data, y, sample_weight=weights)
            for data in (X, getattr(sparse, kind)(X))
        ]  # fmt: skip
        assert difference(*given) < 1e-9
        of_rows = own.predict_proba(getattr(sparse, kind)(X))
        np.testing.assert_allclose(of_rows, own.predict_proba(X), rtol=1e-12)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_ten_seeds_in_float32_score_alike(kind: str) -> None:
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    if kind == "MLPClassifier":
        X, y = datasets.load_digits(return_X_y=True)
        X = X / 16
    else:
        X, y = datasets.make_regression(600, 10, noise=20.0, random_state=0)
        y = y / y.std()
    options: dict[str, Any] = {"hidden_layer_sizes": (40,), "max_iter": 40}
    scores: list[list[float]] = [[], []]
    for seed in range(10):
        parts = train_test_split(X.astype("float32"), y, random_state=seed)
        for module, some in zip((neural_network, ours), scores, strict=True):
            fitted = getattr(module, kind)(random_state=seed, **options).fit(parts[0], parts[2])
            some.append(fitted.score(parts[1], parts[3]))
    theirs, own = np.array(scores)
    noise = 2 * float(np.std(theirs)) / 10**0.5
    assert abs(float(own.mean() - theirs.mean())) < noise
