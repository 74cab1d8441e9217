"""Matrices of scipy.sparse train and are evaluated as the same numbers do in an array."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn.backends import Backend
from fastnn.backends.numba.compression import compress
from fastnn.backends.sparse_rows import SparseRows
from tests.helpers.networks import parameters

sparse = pytest.importorskip("scipy.sparse")

D, C, K = 90, 4, 300


def problem(dtype: str = "float64") -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(7)
    x = rng.integers(-9, 10, (K, D))
    x[rng.random(x.shape) < 0.9] = 0
    x[5] = 0
    if dtype == "uint8":
        x = np.abs(x)
    return x.astype(dtype), rng.integers(0, C, K)


def trained(x: Any, t: Any, **options: Any) -> tuple[fastnn.TwoLayerNet, fastnn.History]:
    network = fastnn.TwoLayerNet(D, 20, C, seed=1)
    options = {"scale": 0.125, "epochs": 2, "batch_size": 33, **options}
    options = {"validation": (x, t), **options}
    history = fastnn.fit(network, x, t, seed=3, progress=False, **options)
    return network, history


def has_sparse_data(backend: Backend) -> None:
    if not backend.on_host and backend.name != "cupy":
        pytest.skip(f"{backend.name} trains from dense arrays alone")


FORMATS: dict[str, Callable[[Any], Any]] = {
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "csc": sparse.csc_array,
    "coo": sparse.coo_array,
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int64"])
@pytest.mark.parametrize("kind", list(FORMATS))
def test_training_has_the_bits_of_dense_data(kind: str, dtype: str, backend: Backend) -> None:
    has_sparse_data(backend)
    x, t = problem(dtype)
    network, history = trained(x, t)
    another, of_sparse = trained(FORMATS[kind](x), t)
    assert of_sparse.losses == history.losses
    assert of_sparse.train_accuracies == history.train_accuracies
    assert of_sparse.validation_accuracies == history.validation_accuracies
    for name, array in parameters(network).items():
        np.testing.assert_array_equal(parameters(another)[name], array)


def test_weights_and_layers_that_are_not_compiled(backend: Backend) -> None:
    has_sparse_data(backend)
    x, t = problem()
    weights = np.random.default_rng(1).random(K)
    _, history = trained(x, t, sample_weight=weights)
    _, of_sparse = trained(sparse.csr_array(x), t, sample_weight=weights)
    assert of_sparse.losses == history.losses
    _, history = trained(x, t, sample_weight=weights, validation=None, validation_split=0.2)
    _, of_sparse = trained(
        sparse.csr_array(x), t, sample_weight=weights, validation=None, validation_split=0.2
    )
    assert of_sparse.losses == history.losses
    assert of_sparse.validation_losses == history.validation_losses
    losses = []
    for data in (x, sparse.csr_array(x)):
        layers = list(fastnn.TwoLayerNet(D, 6, C, seed=2).layers.values())
        network = fastnn.Sequential([fastnn.Dropout(0.2, seed=1), *layers])
        losses.append(fastnn.fit(network, data, t, scale=0.125, seed=0, progress=False).losses)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("dtype", ["float64", "int64", "bool"])
def test_evaluation(dtype: str, backend: Backend) -> None:
    x, t = problem()
    x = x.astype(dtype)
    network = fastnn.TwoLayerNet(D, 20, C, 0.3, seed=1)
    rows = sparse.csr_array(x)
    assert network.accuracy(rows, t) == network.accuracy(x, t)
    assert network.score(rows, t) == network.score(x, t)
    assert network.loss(rows, t) == network.loss(x, t)
    gradient, of_rows = network.gradient(x, t), network.gradient(rows, t)
    for name, array in gradient.items():
        np.testing.assert_array_equal(fastnn.to_numpy(of_rows[name]), fastnn.to_numpy(array))
    for method in (network.predict, network.predict_proba, network.predict_classes):
        found = fastnn.to_numpy(method(rows))
        np.testing.assert_array_equal(found, fastnn.to_numpy(method(x)))


def test_what_cannot_be_trained(backend: Backend) -> None:
    x, t = problem()
    rows = sparse.csr_array(x)
    network = fastnn.TwoLayerNet(D, 20, C, seed=1)
    before = parameters(network)
    if not backend.on_host and backend.name != "cupy":
        with pytest.raises(TypeError, match=r"dense arrays alone: pass x\.toarray\(\)"):
            fastnn.fit(network, rows, t, progress=False)
        return
    infinite = rows.copy()
    infinite.data[17] = np.inf
    row, column = (int(each[0]) for each in np.nonzero(np.isinf(infinite.toarray())))
    cases: list[tuple[Any, Any, type[Exception], str]] = [
        (infinite, t, ValueError, rf"x\[{row}, {column}\] is inf: training needs finite"),
        (rows[:, :-1], t, ValueError, r"expected x of shape \(N, 90\)"),
        (rows[:-1], t, ValueError, "x has 299 samples"),
        (rows[:0], t[:0], ValueError, "empty batch"),
        (rows.astype(complex), t, TypeError, "complex"),
        (rows, t + 1, ValueError, "labels are integers from 0 to 3"),
    ]
    for data, labels, error, words in cases:
        with pytest.raises(error, match=words):
            fastnn.fit(network, data, labels, progress=False)
    for name, array in before.items():
        np.testing.assert_array_equal(parameters(network)[name], array)


def test_a_matrix_is_left_as_it_is_and_its_values_are_not_copied() -> None:
    x, _ = problem("float32")
    matrix = sparse.csr_array(x)
    assert SparseRows(matrix).matrix is matrix
    assert SparseRows(matrix).astype("float32").matrix is matrix
    doubled = sparse.coo_array((np.ones(4), ([1, 1, 0, 1], [2, 2, 1, 0])), (3, 4)).tocsr()
    unsorted = sparse.csr_array(
        (np.array([1.0, 2.0, 4.0]), np.array([3, 0, 3]), np.array([0, 3, 3])), (2, 5)
    )
    for given in (doubled, unsorted):
        before = given.data.copy(), given.indices.copy()
        rows = SparseRows(given)
        np.testing.assert_array_equal(rows[:], given.toarray())
        np.testing.assert_array_equal(given.data, before[0])
        np.testing.assert_array_equal(given.indices, before[1])
        assert rows.matrix.has_canonical_format
    starts = np.array([0, 30, 31, 90])
    found = compress(SparseRows(matrix), starts, np.float32(1))
    assert np.shares_memory(found.values, matrix.data)


@pytest.mark.parametrize("features", [90, 70_000])
def test_compressed_rows_are_those_of_a_dense_array(features: int) -> None:
    rng = np.random.default_rng(2)
    x = np.zeros((40, features), "float32")
    for row in x[:-1]:
        row[rng.choice(features, 25)] = rng.standard_normal(25)
    starts = np.array([0, 30, 31, features])
    for scale in (1, 0.5):
        dense = compress(x, starts, np.float32(scale))
        rows = compress(SparseRows(sparse.csr_array(x)), starts, np.float32(scale))
        for one, other in zip(dense, rows, strict=True):
            np.testing.assert_array_equal(one, other)
            assert getattr(one, "dtype", None) == getattr(other, "dtype", None)


def test_an_index_out_of_range_is_refused() -> None:
    x, t = problem()
    rows = sparse.csr_array(x)
    rows.indices[3] = D
    with pytest.raises(ValueError, match="indices"):
        fastnn.fit(fastnn.TwoLayerNet(D, 20, C), rows, t, progress=False)


def test_samples_of_many_features_are_not_made_dense_together() -> None:
    features = 1 << 19
    rng = np.random.default_rng(0)
    matrix = sparse.random_array((300, features), density=2e-5, format="csr", rng=rng)
    network = fastnn.MultiLayerNet(features, [2], 2, seed=0)
    tracemalloc.start()
    found = fastnn.to_numpy(network.predict(matrix))
    network.accuracy(matrix, np.arange(300) % 2)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 300 * features * 4 / 2
    np.testing.assert_allclose(
        found[7:9], fastnn.to_numpy(network.predict(matrix[[7, 8]].toarray())), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "coo_array", "bsr_array"])
@pytest.mark.parametrize("place", [10**6, -(10**6)])
def test_an_index_that_leads_nowhere_is_refused(backend: Backend, kind: str, place: int) -> None:
    """SciPy's compiled code would read there."""
    damaged = getattr(sparse, kind)(np.eye(20, 12))
    network = fastnn.MultiLayerNet(12, [3], 2, seed=0)
    if kind == "coo_array":
        damaged.coords[1][3] = place
    else:
        damaged.indptr[2] = place
    t = np.arange(20) % 2
    for call in (network.predict, lambda x: fastnn.fit(network, x, t, progress=False)):
        with pytest.raises(ValueError, match=r"a matrix of scipy\.sparse is damaged"):
            call(damaged)
