"""The estimators as a user of scikit-learn meets them, and what they have besides."""

from __future__ import annotations

import copy
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")

from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnn
from fastnn import sklearn as ours
from fastnn.backends import Backend
from fastnn.sklearn import MLPClassifier, MLPRegressor
from fastnn.sklearn.multilayer import check_hooks
from tests.helpers.sklearn_problems import classes, difference, numbers, outputs

ignore_convergence = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = numbers(8)
Y = classes(X, 3)


def classifier(**options: Any) -> MLPClassifier:
    options = {"hidden_layer_sizes": (9,), "max_iter": 6, "batch_size": 30, **options}
    return MLPClassifier(**{"random_state": 2, "backend": "numpy", **options})


def test_parameters_are_those_of_scikit_learn_and_a_few() -> None:
    from sklearn import neural_network

    for name, own in (("MLPClassifier", {"class_weight"}), ("MLPRegressor", set())):
        theirs = getattr(neural_network, name)()
        mine = getattr(ours, name)()
        assert isinstance(mine, type(theirs))
        more = {"backend": None, "dropout": 0.0, "batch_norm": False, "n_threads": None}
        more |= dict.fromkeys(own)
        assert mine.get_params() == {**theirs.get_params(), **more}
        assert repr(mine) == f"{name}()"


@ignore_convergence
def test_a_search_of_a_pipeline_in_two_processes() -> None:
    search = GridSearchCV(
        make_pipeline(StandardScaler(), classifier()),
        {"mlpclassifier__alpha": [1e-4, 1.0]},
        cv=2, n_jobs=2,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of processes that end
        search.fit(X, Y)
    alone = GridSearchCV(search.estimator, search.param_grid, cv=2).fit(X, Y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )
    assert search.score(X, Y) == alone.score(X, Y)


@ignore_convergence
def test_calibration_and_clones() -> None:
    calibrated = CalibratedClassifierCV(classifier(), cv=2).fit(X, Y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    fitted = classifier().fit(X, Y)
    again = clone(fitted)
    with pytest.raises(NotFittedError):
        again.predict(X)
    assert difference(again.fit(X, Y), fitted) == 0


@ignore_convergence
def test_copies_and_pickles_go_on(backend: Backend) -> None:
    one = classifier(backend=None).partial_fit(X, Y, classes=[0, 1, 2])
    copies = [copy.deepcopy(one), pickle.loads(pickle.dumps(one))]
    assert len(pickle.dumps(one)) < 20_000
    one.partial_fit(X, Y)
    for each in copies:
        assert difference(each.partial_fit(X, Y), one) == 0
        np.testing.assert_array_equal(each.predict(X), one.predict(X))


@ignore_convergence
def test_tables() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=[f"column {k}" for k in range(X.shape[1])])
    names = pandas.Series(np.array(["one", "two", "three"])[Y])
    fitted = classifier().fit(table, names)
    assert fitted.feature_names_in_.tolist() == list(table.columns)
    assert set(fitted.predict(table)) <= {"one", "two", "three"}
    np.testing.assert_array_equal(
        fitted.predict_proba(table), classifier().fit(X, names.to_numpy()).predict_proba(X)
    )
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(table[table.columns[::-1]])


@ignore_convergence
def test_dropout_and_batch_normalisation(backend: Backend) -> None:
    plain = classifier(backend=None).fit(X, Y)
    options: dict[str, Any] = {"hidden_layer_sizes": (9, 8), "dropout": 0.3, "batch_norm": True}
    fitted = classifier(backend=None, **options).fit(X, Y)
    again = classifier(backend=None, **options).fit(X, Y)
    assert difference(fitted, again) == 0
    assert [len(arrays) for arrays in fitted.normalizations_] == [4, 4]
    assert not hasattr(plain, "normalizations_")
    network = fitted.to_network()
    kinds = [type(layer).__name__ for layer in network.layers.values()]
    hidden = ["Affine", "BatchNormalization", "Relu", "Dropout"]
    assert kinds == [*hidden, *hidden, "Affine"]
    scores = fastnn.to_numpy(network.predict(X))
    np.testing.assert_array_equal(fitted.predict(X), np.argmax(scores, axis=1))
    mean = fitted.normalizations_[0][2].copy()
    fitted.partial_fit(X, Y)
    assert np.all(fitted.normalizations_[0][2] != mean)


@ignore_convergence
@pytest.mark.parametrize("batch_norm", [False, True])
def test_batch_norm_is_changed_after_a_fit(batch_norm: bool) -> None:
    fitted = classifier(batch_norm=batch_norm, warm_start=True).fit(X, Y)
    before = fitted.predict_proba(X)
    fitted.set_params(batch_norm=not batch_norm)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    for go_on in (fitted.partial_fit, fitted.fit):
        with pytest.raises(ValueError, match=f"made with batch_norm={batch_norm}: set it back"):
            go_on(X, Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    fitted.set_params(warm_start=False).fit(X, Y)
    assert hasattr(fitted, "normalizations_") is not batch_norm


@ignore_convergence
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_what_was_learned_stays_where_data_are_refused(solver: str) -> None:
    new = classifier(solver=solver)
    with pytest.raises(ValueError, match="weight"):
        new.fit(X, Y, sample_weight=np.full(len(X), -1.0))
    with pytest.raises(NotFittedError):
        new.predict(X)
    fitted = new.fit(X, Y)
    before, losses = fitted.predict_proba(X), fitted.loss_curve_[:] if solver == "adam" else []
    for go_on in (fitted.fit, *([fitted.partial_fit] if solver == "adam" else [])):
        with pytest.raises(ValueError, match="weight"):
            go_on(X, Y, sample_weight=np.full(len(X), -1.0))
        np.testing.assert_array_equal(fitted.predict_proba(X), before)
        assert losses == (fitted.loss_curve_ if solver == "adam" else [])


@ignore_convergence
def test_weights_of_the_classes_of_several_labels() -> None:
    labels = np.stack([Y == 1, Y > 0], axis=1).astype(int)
    weights = [{0: 1, 1: 3}, {0: 2, 1: 1}]
    weighted = classifier(class_weight=weights).fit(X, labels)
    each = np.prod([[w[t] for t in column] for w, column in zip(weights, labels.T, strict=True)], 0)
    assert difference(weighted, classifier().fit(X, labels, sample_weight=each)) == 0


@pytest.mark.parametrize(
    ("y", "words"), [(None, "requires y to be passed"), (np.full(len(X), np.nan), "contains NaN")]
)
def test_labels_that_are_missing_are_told_as_without_weights_of_classes(y: Any, words: str) -> None:
    for weights in (None, "balanced"):
        with pytest.raises(ValueError, match=words):
            classifier(class_weight=weights).fit(X, y)


@ignore_convergence
def test_masks_differ_from_one_partial_fit_to_the_next() -> None:
    alone = classifier(dropout=0.5, batch_size=len(X), shuffle=False, solver="sgd", momentum=0)
    alone.set_params(alpha=0.0, learning_rate_init=1e-12)
    losses = [alone.partial_fit(X, Y, classes=[0, 1, 2]).loss_ for _ in range(3)]
    assert len({round(loss, 6) for loss in losses}) == 3


@ignore_convergence
def test_the_best_network_has_its_own_averages() -> None:
    fitted = classifier(batch_norm=True, early_stopping=True, max_iter=30, learning_rate_init=0.1)
    fitted.fit(X, Y)
    assert fitted.best_validation_score_ == max(fitted.validation_scores_)
    best = int(np.argmax(fitted.validation_scores_)) + 1
    assert best < fitted.n_iter_
    shorter = clone(fitted).set_params(max_iter=best).fit(X, Y)
    assert difference(fitted, shorter) == 0
    for arrays, expected in zip(fitted.normalizations_, shorter.normalizations_, strict=True):
        np.testing.assert_array_equal(arrays, expected)


def test_a_later_fit_that_finds_nothing_better_leaves_the_best_network() -> None:
    fitted = classifier(early_stopping=True, warm_start=True, max_iter=90, learning_rate_init=0.1)
    fitted.fit(X, Y)
    best, score = copy.deepcopy(fitted), fitted.best_validation_score_
    handed_out = [array.copy() for array in fitted.coefs_]
    fitted.set_params(learning_rate_init=1.0).fit(X, Y)
    assert fitted.best_validation_score_ == score
    assert difference(fitted, best) == 0
    for array, before in zip(fitted.coefs_, handed_out, strict=True):
        np.testing.assert_array_equal(array, before)


def test_what_is_refused() -> None:
    for options, words in (
        ({"solver": "lbfgs", "dropout": 0.1}, "depends on the parameters alone"),
        ({"solver": "lbfgs", "batch_norm": True}, "depends on the parameters alone"),
        ({"dropout": 1.0}, "The 'dropout' parameter"),
        ({"batch_norm": "yes"}, "The 'batch_norm' parameter"),
        ({"n_threads": 0}, "The 'n_threads' parameter"),
        ({"backend": 1}, "The 'backend' parameter"),
        ({"backend": "numby"}, "numby"),
        ({"class_weight": "even"}, "The 'class_weight' parameter"),
        ({"batch_norm": True, "batch_size": 43}, "leaves a last batch of 1"),
        (
            {"early_stopping": True, "validation_fraction": 0.005},
            "set is too small|least populated|greater or equal",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            classifier(**options).fit(X, Y)
    with pytest.raises(ValueError, match="needs finite targets from 0 on"):
        MLPRegressor("poisson", backend="numpy").fit(X, outputs(X, 1)[:, 0])
    with pytest.raises(ValueError, match="a weight is finite and not negative"):
        classifier().fit(X, Y, sample_weight=np.where(Y == 1, -1, 1))


@ignore_convergence
def test_arrays_that_may_not_be_written() -> None:
    fitted = classifier().fit(X, Y)
    expected = fitted.predict_proba(X)
    for array in fitted.coefs_ + fitted.intercepts_:
        array.flags.writeable = False
    np.testing.assert_array_equal(fitted.predict_proba(X), expected)
    fitted.partial_fit(X, Y)
    assert np.any(fitted.predict_proba(X) != expected)


@ignore_convergence
def test_the_backend_is_the_parameters_or_the_active_one(backend: Backend) -> None:
    assert classifier(backend=None).fit(X, Y).to_network().backend is backend
    assert classifier(backend="numpy").fit(X, Y).to_network().backend is backend


@ignore_convergence
def test_threads() -> None:
    seen = []

    class Watched(MLPClassifier):
        def _train(self, *arguments: Any) -> None:
            seen.append(fastnn.get_num_threads())
            super()._train(*arguments)

    before = fastnn.get_num_threads()
    for n_threads in (before + 3, None):
        Watched(max_iter=2, backend="numpy", n_threads=n_threads).fit(X, Y)
        assert fastnn.get_num_threads() == before
    assert seen == [before + 3, before]


def test_it_says_that_it_has_not_converged_and_what_it_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\)"):
        classifier(max_iter=2, verbose=True, early_stopping=True).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" = ")[0].split(":")[0] for line in lines] == [
        "Iteration 1, loss", "Validation score", "Iteration 2, loss", "Validation score",
    ]  # fmt: skip
    classifier(max_iter=99, tol=10, n_iter_no_change=2, verbose=True).fit(X, Y)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        "Training loss did not improve more than tol=10.000000 for 2 consecutive epochs. Stopping."
    )
    with pytest.warns(UserWarning, match="larger than sample size 130"):
        classifier(batch_size=200, max_iter=99, tol=10).fit(X, Y)


@pytest.fixture
def python_handles_ctrl_c() -> Iterator[None]:
    """Python's own handler, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_control_c_ends_the_training_with_what_was_learned() -> None:
    class Interrupted(MLPClassifier):
        def _update_no_improvement_count(self, *arguments: Any) -> None:
            super()._update_no_improvement_count(*arguments)
            if self.n_iter_ == 3:
                signal.raise_signal(signal.SIGINT)

    with pytest.warns(UserWarning, match="Training interrupted by user"):
        fitted = Interrupted((9,), max_iter=50, random_state=2, backend="numpy").fit(X, Y)
    assert fitted.n_iter_ == 3
    assert len(fitted.loss_curve_) == 3
    assert fitted.predict(X).shape == Y.shape


@ignore_convergence
def test_data_that_diverge() -> None:
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="non-finite parameter"):
        MLPRegressor(
            hidden_layer_sizes=(9,),
            backend="numpy",
            solver="sgd",
            learning_rate_init=1e9,
            max_iter=20,
        ).fit(1e6 * X, outputs(X, 1)[:, 0])


def test_without_scikit_learn_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['sklearn'] = None\n"
        "try: import fastnn.sklearn\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'fastnn-backends[sklearn]'" in done.stdout


def test_a_scikit_learn_without_what_is_replaced_is_refused() -> None:
    check_hooks(MLPClassifier)
    with pytest.raises(ImportError, match=r"has no _backprop and no .*_update_no_improvement"):
        check_hooks(object)


@ignore_convergence
def test_a_network_of_counts_goes_wherever_others_go(tmp_path: Path) -> None:
    regressor = MLPRegressor(loss="poisson", max_iter=3, random_state=0, backend="numpy")
    network = regressor.fit(X, Y).to_network()
    assert type(network.last_layer) is fastnn.PoissonWithLoss
    np.testing.assert_array_equal(np.exp(network.predict(X))[:, 0], regressor.predict(X))
    network.save(tmp_path / "network")
    found = [pickle.loads(pickle.dumps(network)), fastnn.Sequential.load(tmp_path / "network")]
    if find_spec("onnx"):
        network.to_onnx(tmp_path / "network.onnx")
        found.append(fastnn.from_onnx(tmp_path / "network.onnx"))
    for other in found:
        assert type(other.last_layer) is fastnn.PoissonWithLoss
        assert other.loss(X, Y[:, None]) == pytest.approx(network.loss(X, Y[:, None]), rel=1e-12)
    history = fastnn.fit(network, X, Y, seed=0, validation_split=0.2, progress=False)
    assert len(history.validation_losses) == 1


@ignore_convergence
def test_a_network_of_counts_has_a_loss_and_no_score() -> None:
    regressor = MLPRegressor(loss="poisson", max_iter=3, random_state=0, backend="numpy")
    network = regressor.fit(X, Y).to_network()
    assert network.loss(X, Y[:, None]) > 0
    for judge in (network.accuracy, network.score):
        with pytest.raises(TypeError, match="PoissonWithLoss does not say which answers are good"):
            judge(X, Y[:, None])


WARNED: dict[str, Any] = {
    "alone": lambda model: model,
    "in a pipeline": lambda model: make_pipeline(StandardScaler(), model),
    "in a search": lambda model: GridSearchCV(model, {"alpha": [0.1]}, cv=2),
}


@pytest.mark.parametrize("case", WARNED)
def test_warnings_point_to_the_line_that_called(backend: Backend, case: str) -> None:
    model = WARNED[case](classifier(backend=backend.name, max_iter=1, batch_size=10**6))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y)
        line = sys._getframe().f_lineno - 1
    told = [str(warning.message) for warning in caught]
    assert any("Maximum iterations (1) reached" in words for words in told)
    assert any("larger than sample size" in words for words in told)
    assert {(warning.filename, warning.lineno) for warning in caught} == {(__file__, line)}


@ignore_convergence
def test_data_whose_squares_are_infinite_are_refused(backend: Backend) -> None:
    with pytest.raises(ValueError, match="input data may contain large values and need to be prep"):
        classifier(backend=backend.name, max_iter=3).fit(X * 1e160, Y)


@ignore_convergence
def test_large_data_train(backend: Backend) -> None:
    model = classifier(backend=backend.name, max_iter=3).fit(X * 1e150, Y)
    assert all(np.isfinite(W).all() for W in model.coefs_)
