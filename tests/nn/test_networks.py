"""Networks: the book's interface, live parameters, moves between backends and dtypes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Affine, MultiLayerNet, Relu, Sequential, TwoLayerNet
from fastnn.backends import Backend
from fastnn.nn.numerical_gradient import numerical_gradient
from tests.helpers.exhaustive import exhaustive_but
from tests.helpers.layers import Scale, Square, SquaredError, zoo
from tests.helpers.problems import Batch, affine_of, relative_error


def test_the_books_names() -> None:
    network = TwoLayerNet(input_size=5, hidden_size=4, output_size=3)
    assert list(network.layers) == ["Affine1", "Relu1", "Affine2"]
    assert list(network.params) == ["W1", "b1", "W2", "b2"]
    assert network.lastLayer is network.last_layer
    assert network.layers["Affine1"].W is network.params["W1"]
    assert network.dtype == "float32"
    assert {k: v.shape for k, v in network.params.items()} == {
        "W1": (5, 4), "b1": (4,), "W2": (4, 3), "b2": (3,)
    }  # fmt: skip


def test_one_seed_gives_the_same_weights_everywhere(backend: Backend, dtype: str) -> None:
    network = TwoLayerNet(30, 20, 10, seed=7, dtype=dtype)
    W = 0.01 * np.random.default_rng(7).standard_normal((30, 20))
    np.testing.assert_array_equal(backend.to_numpy(network.params["W1"]), W.astype(dtype))
    assert not np.any(backend.to_numpy(network.params["b1"]))


def test_weights_without_a_seed_differ() -> None:
    first, second = (TwoLayerNet(4, 3, 2).params["W1"] for _ in range(2))
    assert np.any(first != second)
    assert MultiLayerNet(1000, [50], 2, seed=0).params["W1"].std() == pytest.approx(
        np.sqrt(2 / 1000), rel=0.05
    )


@pytest.mark.parametrize(
    ("std", "variance"),
    [("relu", 2 / 300), ("He", 2 / 300), ("sigmoid", 1 / 300), ("xavier", 1 / 300), (0.3, 0.09)],
)
def test_initial_weights_by_name(std: Any, variance: float) -> None:
    for network in (
        MultiLayerNet(300, [300], 300, weight_init_std=std, seed=0),
        TwoLayerNet(300, 300, 300, std, seed=0),
    ):
        for name in ("W1", "W2"):
            assert fastnn.to_numpy(network.params[name]).var() == pytest.approx(variance, rel=0.02)


def test_layers_have_the_books_names() -> None:
    network = MultiLayerNet(input_size=5, hidden_size_list=(4, 4), output_size=3)
    assert list(network.layers) == [
        "Affine1", "Activation_function1", "Affine2", "Activation_function2", "Affine3",
    ]  # fmt: skip


def test_layers_of_the_books_extended_network(backend: Backend) -> None:
    network = MultiLayerNet(
        5, [4, 6], 3, "tanh", "sigmoid", 0.1, True, 0.25, True, dtype="float64", seed=2
    )  # by position, as in the book
    assert list(network.layers) == [
        "Affine1", "BatchNorm1", "Activation_function1", "Dropout1",
        "Affine2", "BatchNorm2", "Activation_function2", "Dropout2", "Affine3",
    ]  # fmt: skip
    assert list(network.params) == [
        "W1", "b1", "gamma1", "beta1", "W2", "b2", "gamma2", "beta2", "W3", "b3",
    ]  # fmt: skip
    assert [type(layer) for layer in network.layers.values()][:4] == [
        Affine, fastnn.BatchNormalization, fastnn.Tanh, fastnn.Dropout,
    ]  # fmt: skip
    drops = [network.layers["Dropout1"], network.layers["Dropout2"]]
    assert [layer.ratio for layer in drops] == [0.25, 0.25]
    assert drops[0].key != drops[1].key
    assert network.weight_decay_lambda == 0.1
    assert network.dtype == "float64"
    np.testing.assert_array_equal(fastnn.to_numpy(network.params["gamma2"]), np.ones(6))
    again = MultiLayerNet(5, [4, 6], 3, use_dropout=True, dropout_ration=0.125, seed=2)
    assert again.layers["Dropout1"].ratio == 0.125
    assert again.layers["Dropout2"].key == drops[1].key


def test_parts_leave_the_initial_weights_alone() -> None:
    plain = MultiLayerNet(5, [4, 6], 3, seed=2)
    for options in ({"use_dropout": True}, {"use_batchnorm": True}, {"activation": "gelu"}):
        network = MultiLayerNet(5, [4, 6], 3, seed=2, **options)
        for name, array in plain.params.items():
            np.testing.assert_array_equal(network.params[name], array)


@pytest.mark.parametrize(
    "activation",
    exhaustive_but(["ReLU"], ["relu", "sigmoid", "tanh", "leaky_relu", "gelu", "ReLU"]),
)
@pytest.mark.parametrize("hidden", exhaustive_but([[7, 5, 6]], [[], [7], [7, 5, 6]]))
def test_networks_of_any_parts_are_differentiated_and_trained(
    backend: Backend, activation: str, hidden: list[int], batch: Batch
) -> None:
    """And what was saved of them is loaded as what it is."""
    network = MultiLayerNet(
        12, hidden, 4, activation, "xavier", 0.01, True, 0.2, True, dtype="float64", seed=1
    )
    for layer in network.layers.values():
        if isinstance(layer, fastnn.Dropout):
            layer.held = True
    gradient = network.gradient(batch.x, batch.t)
    for name, right in network.numerical_gradient(batch.x, batch.t).items():
        np.testing.assert_allclose(
            fastnn.to_numpy(gradient[name]), fastnn.to_numpy(right), atol=1e-6, err_msg=name
        )
    before = network.loss(batch.x, batch.t)
    fastnn.fit(network, batch.x, batch.t, epochs=30, progress=False, seed=0)
    assert network.loss(batch.x, batch.t) < before


@pytest.mark.parametrize(
    "options",
    exhaustive_but([{"use_batchnorm": True}], [{}, {"use_dropout": True}, {"use_batchnorm": True}]),
)
def test_files_of_networks_of_any_parts(
    backend: Backend, options: dict[str, Any], batch: Batch, tmp_path: Any
) -> None:
    network = MultiLayerNet(12, [5, 4], 4, "tanh", weight_decay_lambda=0.2, seed=1, **options)
    fastnn.fit(network, batch.x, batch.t, progress=False, seed=0)
    network.save(tmp_path / "network")
    loaded = MultiLayerNet.load(tmp_path / "network")
    assert list(loaded.layers) == list(network.layers)
    assert loaded.weight_decay_lambda == 0.2
    assert loaded.loss(batch.x, batch.t) == network.loss(batch.x, batch.t)
    plain = MultiLayerNet(12, [5, 4], 4, "tanh", seed=3, **options).load(tmp_path / "network")
    assert plain.weight_decay_lambda == 0  # of a network that is there, it stays
    with pytest.raises(ValueError, match=r"load it with Sequential\.load"):
        TwoLayerNet.load(tmp_path / "network")


def test_predict_loss_accuracy_against_the_definition(
    backend: Backend, dtype: str, batch: Batch
) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, dtype=dtype, seed=3)
    W1, b1, W2, b2 = (backend.to_numpy(p).astype("float64") for p in network.params.values())
    scores = np.maximum(batch.x.astype("float64") @ W1 + b1, 0) @ W2 + b2
    y = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    found = network.predict(batch.x)
    assert backend.owns(found)
    assert found.dtype == getattr(backend.xp, dtype)
    assert relative_error(found, scores) < (1e-12 if dtype == "float64" else 2e-6)
    for t in (batch.t, batch.one_hot):
        loss = network.loss(batch.x, t)
        assert type(loss) is float
        assert loss == pytest.approx(-np.log(y[np.arange(7), batch.t]).mean(), rel=1e-6)
        accuracy = network.accuracy(batch.x, t)
        assert type(accuracy) is float
        assert accuracy == np.mean(scores.argmax(axis=1) == batch.t)


def test_accuracy_of_more_samples_than_one_piece(backend: Backend) -> None:
    large = Batch(20_000, 3, 2)
    network = TwoLayerNet(3, 2, 2, 1.0, seed=0)
    predicted = backend.to_numpy(network.predict(large.x)).argmax(axis=1)
    assert network.accuracy(large.x, large.t) == np.mean(predicted == large.t)


def test_one_sample_is_a_batch_of_one(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    scores = network.predict(batch.x[0])
    assert scores.shape == (4,)
    assert relative_error(scores, network.predict(batch.x[:1])[0, ...]) == 0
    for t in (batch.t[0], batch.t[:1], batch.one_hot[0]):
        assert network.loss(batch.x[0], t) == network.loss(batch.x[:1], batch.t[:1])
        assert network.accuracy(batch.x[0], t) in (0.0, 1.0)


@pytest.mark.parametrize("name", list(zoo()))
def test_backpropagation_is_the_numerical_gradient(
    backend: Backend, dtype: str, batch: Batch, name: str
) -> None:
    network = zoo(dtype)[name]
    gradients = network.gradient(batch.x, batch.one_hot)
    numerical = network.numerical_gradient(batch.x, batch.one_hot)
    assert list(gradients) == list(numerical) == list(network.params)
    for key in gradients:
        assert backend.owns(gradients[key])
        assert backend.owns(numerical[key])
        assert gradients[key].dtype == getattr(backend.xp, dtype)
        assert numerical[key].dtype == backend.xp.float64
        assert relative_error(gradients[key], numerical[key]) < (
            1e-6 if dtype == "float64" else 1e-5
        )


@pytest.mark.parametrize("name", list(zoo()))
def test_the_quick_numerical_gradient_is_the_definition(batch: Batch, name: str) -> None:
    with fastnn.use_backend("numpy"):
        network = zoo()[name]
        quick = network.numerical_gradient(batch.x, batch.t)
        for key, array in network.params.items():
            literal = numerical_gradient(lambda _: network.loss(batch.x, batch.t), array)
            np.testing.assert_allclose(quick[key], literal, atol=1e-11, rtol=0)


def test_the_quick_numerical_gradient_in_chunks(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    whole = network.numerical_gradient(batch.x, batch.t)
    monkeypatch.setattr("fastnn.nn.network_gradient.ENTRIES", 1)
    for key, array in network.numerical_gradient(batch.x, batch.t).items():
        np.testing.assert_array_equal(array, whole[key])


def test_layers_of_the_users_own(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        rng = np.random.default_rng(1)
        network = Sequential(
            [
                Affine(rng.standard_normal((12, 5)), np.zeros(5)),
                Scale(rng.standard_normal(5)),
                Square(),
                Affine(rng.standard_normal((5, 4)), np.zeros(4)),
                Scale(rng.standard_normal(4)),
            ]
        )
        assert list(network.params) == ["W1", "b1", "gamma1", "W2", "b2", "gamma2"]
        numerical = network.numerical_gradient(batch.x, batch.t)
        for key, gradient in network.gradient(batch.x, batch.t).items():
            assert relative_error(gradient, numerical[key]) < 1e-6


def test_a_loss_of_the_users_own(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = Sequential([Affine(np.ones((12, 2)), np.zeros(2))], SquaredError())
        t = np.random.default_rng(0).standard_normal((7, 2))
        difference = network.predict(batch.x) - t
        assert network.loss(batch.x, t) == pytest.approx((difference**2).mean())
        numerical = network.numerical_gradient(batch.x, t)
        for key, gradient in network.gradient(batch.x, t).items():
            assert relative_error(gradient, numerical[key]) < 1e-6


def test_what_was_handed_out_is_never_overwritten(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    scores = network.predict(batch.x)
    gradients = network.gradient(batch.x, batch.t)
    before = [backend.to_numpy(a).copy() for a in (scores, *gradients.values())]
    network.predict(batch.x * 2)
    network.gradient(batch.x * 2, (batch.t + 1) % 4)
    after = [backend.to_numpy(a) for a in (scores, *gradients.values())]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_parameters_are_live(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    before = network.loss(batch.x, batch.t)
    gradients = network.gradient(batch.x, batch.t)
    for key in ("W1", "b1", "W2", "b2"):
        network.params[key] -= 0.1 * gradients[key]
    after = network.loss(batch.x, batch.t)
    assert after < before
    assert network.layers["Affine1"].W is network.params["W1"]

    new = np.full((12, 6), 0.25)
    network.params["W1"] = new
    new += 1
    assert np.all(backend.to_numpy(network.layers["Affine1"].W) == 0.25)
    assert network.params["W1"].dtype == backend.xp.float32
    assert network.loss(batch.x, batch.t) != after

    network.params.update(b1=np.arange(6), b2=[1, 2, 3, 4])
    np.testing.assert_array_equal(backend.to_numpy(network.params["b2"]), [1, 2, 3, 4])


def test_parameters_refuse_what_does_not_fit(backend: Backend) -> None:
    network = TwoLayerNet(12, 6, 4)
    with pytest.raises(ValueError, match=r"'W1' has shape \(12, 6\).*\(6, 12\)"):
        network.params["W1"] = np.ones((6, 12))
    with pytest.raises(KeyError, match="W1, b1, W2, b2"):
        network.params["W3"]
    with pytest.raises(TypeError, match="cannot be removed"):
        del network.params["W1"]
    with pytest.raises(TypeError, match="complex128"):
        network.params["b1"] = np.ones(6, complex)


def test_a_copy_of_the_parameters_is_a_snapshot(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    scores = backend.to_numpy(network.predict(batch.x)).copy()
    for snapshot in (network.params.copy(), copy.copy(network.params)):
        assert type(snapshot) is dict
        assert list(snapshot) == ["W1", "b1", "W2", "b2"]
        assert all(map(backend.owns, snapshot.values()))
        for key in network.params:
            network.params[key] -= 0.5
        fastnn.fit(network, batch.x, batch.t, batch_size=7, progress=False)
        assert np.any(backend.to_numpy(network.predict(batch.x)) != scores)
        network.params = snapshot
        np.testing.assert_array_equal(backend.to_numpy(network.predict(batch.x)), scores)
        network.params["W1"] -= 1  # the network's own again, no array of the snapshot
        network.params = snapshot
        np.testing.assert_array_equal(backend.to_numpy(network.predict(batch.x)), scores)


def test_parameters_are_assigned_all_or_none(backend: Backend, batch: Batch, tmp_path: Any) -> None:
    network, other = (TwoLayerNet(12, 6, 4, 0.5, seed=seed) for seed in (3, 4))
    before = list(network.params.values())
    good = {name: backend.to_numpy(array) + 1.0 for name, array in network.params.items()}
    for values, error, words in (
        ({"W1": good["W1"], "W3": 1}, KeyError, "without 'W2', 'b1', 'b2' and with unknown 'W3'"),
        ({**good, "gamma": 1}, KeyError, "with unknown 'gamma'.*W1, b1, W2, b2"),
        ({**good, "b2": np.ones(6)}, ValueError, r"'b2' has shape \(4,\), the new value \(6,\)"),
        ({**good, "b2": np.ones(4, complex)}, TypeError, "complex128"),
        ([1, 2], TypeError, "dictionary of arrays by name.*got a list"),
    ):
        with pytest.raises(error, match=words):
            network.params = values  # type: ignore[assignment]
        assert all(a is b for a, b in zip(network.params.values(), before, strict=True))
    network.params = network.params
    assert all(a is b for a, b in zip(network.params.values(), before, strict=True))
    network.params = good
    assert network.params["W1"].dtype == backend.xp.float32
    np.testing.assert_array_equal(backend.to_numpy(network.params["W2"]), good["W2"].astype("f4"))
    network.params = other.params
    other.params["W1"] -= 1
    np.testing.assert_array_equal(
        backend.to_numpy(network.params["W1"]),
        backend.to_numpy(TwoLayerNet(12, 6, 4, 0.5, seed=4).params["W1"]),
    )
    np.savez(tmp_path / "parameters.npz", **good)  # type: ignore[arg-type]
    with np.load(tmp_path / "parameters.npz") as saved:
        network.params = saved
    np.testing.assert_array_equal(backend.to_numpy(network.params["b2"]), np.ones(4))


def test_layers_and_networks_print_in_a_line(backend: Backend) -> None:
    network = TwoLayerNet(784, 50, 10)
    assert list(map(repr, [*network.layers.values(), network.last_layer])) == [
        f"Affine(784 -> 50, float32, {backend.name})",
        f"Relu({backend.name})",
        f"Affine(50 -> 10, float32, {backend.name})",
        f"SoftmaxWithLoss({backend.name})",
    ]
    deep = MultiLayerNet(784, [50] * 300, 10)
    assert repr(deep) == (
        "MultiLayerNet(Affine1, Activation_function1, Affine2, Activation_function2, Affine3, "
        "Activation_function3, ... 594 more ..., "
        f"Affine301; SoftmaxWithLoss) on {backend.name}, float32"
    )
    assert repr(network.params) == str({"W1": (784, 50), "b1": (50,), "W2": (50, 10), "b2": (10,)})
    assert len(repr(deep.params)) < 300

    class Half(fastnn.Layer):
        def __init__(self) -> None:
            pass

    assert repr(Half()) == "Half()"


def test_moving_between_backends(backend: Backend, batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
        before = network.predict(batch.x)
        handed_out = network.params["W1"]
    assert network.to(backend) is network
    assert network.backend is backend
    assert all(layer.backend is backend for layer in network.layers.values())
    assert all(backend.owns(p) for p in network.params.values())
    assert relative_error(network.predict(batch.x), before) < 2e-6
    network.params["W1"] -= 1
    np.testing.assert_array_equal(
        handed_out, TwoLayerNet(12, 6, 4, 0.5, seed=3).to("numpy").params["W1"]
    )
    network.to("numpy")
    assert isinstance(network.predict(batch.x), np.ndarray)


def handed_over(backend: Backend, W: str = "float32", b: str = "float32") -> dict[str, Any]:
    """The book's dictionary, of arrays of the backend."""
    rng = np.random.default_rng(0)
    arrays = {"W1": rng.standard_normal((12, 4)), "b1": rng.standard_normal(4)}
    return {name: backend.asarray(arrays[name], kind) for name, kind in (("W1", W), ("b1", b))}


def test_a_network_computes_with_the_arrays_that_were_handed_over(
    backend: Backend, dtype: str, batch: Batch
) -> None:
    params = handed_over(backend, dtype, dtype)
    network = Sequential([Affine(params["W1"], params["b1"])])
    for same in (network, network.to(backend), network.astype(dtype)):
        before = same.loss(batch.x, batch.t)
        gradients = same.gradient(batch.x, batch.t)
        for name in params:
            assert same.params[name] is params[name]
            params[name] -= 0.01 * gradients[name]
        assert same.loss(batch.x, batch.t) < before
    twin = network.copy()
    assert twin.params["W1"] is not params["W1"]
    if backend.on_host:  # arrays of the host serve all backends there
        with fastnn.use_backend("numpy"):
            assert network.to("numpy").params["W1"] is params["W1"]


def test_a_network_that_copies_what_was_handed_over_says_so(backend: Backend) -> None:
    params = handed_over(backend, "float32", "float64")
    layer = Affine(params["W1"], params["b1"])
    words = r"in float64 on .* W1 \(W of layer 'out': float32, shape \(12, 4\).*params\['W1'\]"
    with pytest.warns(fastnn.ParameterCopyWarning, match=words) as caught:
        network = Sequential({"out": layer})
    assert [one.filename for one in caught] == [__file__]
    assert network.params["b1"] is params["b1"]
    assert network.params["W1"].dtype == backend.xp.float64
    with pytest.warns(
        fastnn.ParameterCopyWarning, match=r"b1 \(b of layer 'out': float64"
    ) as caught:
        network.astype("float32")
    assert [one.filename for one in caught] == [__file__]
    assert "W1" not in str(caught[0].message)  # it was a copy already
    network.astype("float64")  # nobody else has these


def test_a_move_away_from_what_was_handed_over_says_so(backend: Backend) -> None:
    if backend.on_host:
        pytest.skip("arrays of the host serve all backends there")
    with fastnn.use_backend("numpy"):
        params = handed_over(fastnn.get_backend())
        network = Sequential([Affine(params["W1"], params["b1"])])
        words = r"W1 \(W of layer 'Affine1'.*on the host\), b1 .*get_backend\(\).asarray\(W"
        with pytest.warns(fastnn.ParameterCopyWarning, match=words):
            network.to(backend)
    assert all(map(backend.owns, network.params.values()))
    network.to("numpy")


def test_a_warning_that_is_an_error_leaves_the_network_as_it_was(backend: Backend) -> None:
    params = handed_over(backend)
    network = Sequential([Affine(params["W1"], params["b1"])])
    with pytest.raises(fastnn.ParameterCopyWarning):
        network.astype("float64")
    assert network.dtype == "float32"
    assert all(network.params[name] is params[name] for name in params)


def test_arrays_that_nobody_else_has_are_moved_without_a_word(
    backend: Backend, batch: Batch, tmp_path: Any
) -> None:
    built = TwoLayerNet(12, 6, 4, seed=3)
    built.save(tmp_path / "network")
    loaded = Sequential.load(tmp_path / "network")
    for network in (built, loaded, built.copy()):
        handed_out = network.params["W1"]
        other = {"float32": "float64", "float64": "float32"}[network.dtype]
        network.astype(other).to("numpy").to(backend)
        fastnn.fit(network, batch.x, batch.t, batch_size=7, progress=False)
        network.astype("float64")
        assert handed_out is not network.params["W1"]
    Sequential([affine_of(np.ones((12, 4)), np.zeros(4)), Scale(np.ones(4))]).astype("float32")
    if backend.on_host:
        Sequential([Affine(np.ones((4, 12)).T, np.zeros(4))]).astype("float32")
        W = np.ones((4, 12))
        with pytest.warns(fastnn.ParameterCopyWarning, match="in Fortran order"):
            Sequential([Affine(W.T, np.zeros(4))]).astype("float32")


def test_layers_of_the_users_own_part_with_a_word(batch: Batch) -> None:
    with fastnn.use_backend("numpy"):
        gamma = np.ones(4)
        scale = Scale(gamma)
        layers = [Affine(np.ones((12, 4), "float32"), np.zeros(4, "float32")), scale]
        network = Sequential(layers)
        assert scale.gamma is gamma
        with pytest.warns(fastnn.ParameterCopyWarning, match="gamma1 .gamma of layer 'Scale1'"):
            network.astype("float32")
        also = Scale(np.ones(4))
        also.weights = also.gamma  # type: ignore[attr-defined]
        twin = Sequential([also]).copy().layers["Scale1"]
        assert twin.weights is twin.gamma is not also.gamma


def test_after_fit_the_arrays_that_were_handed_over_are_as_they_were(
    backend: Backend, batch: Batch
) -> None:
    params = handed_over(backend)
    before = {name: backend.to_numpy(array).copy() for name, array in params.items()}
    network = Sequential([Affine(params["W1"], params["b1"])])
    fastnn.fit(network, batch.x, batch.t, batch_size=7, progress=False)
    for name, array in before.items():
        np.testing.assert_array_equal(backend.to_numpy(params[name]), array)
        assert np.any(backend.to_numpy(network.params[name]) != array)
    network.astype("float64")  # they are no longer the network's


def test_switching_later_never_moves_a_network(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    with fastnn.use_backend("numpy"):
        assert network.backend is backend
        assert backend.owns(network.predict(batch.x))
        assert backend.owns(network.gradient(batch.x, batch.t)["W1"])
        assert backend.owns(network.numerical_gradient(batch.x, batch.t)["W1"])


def test_changing_the_dtype(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    narrow = network.predict(batch.x)
    assert network.astype("float64") is network
    assert network.dtype == "float64"
    assert network.params["W1"].dtype == backend.xp.float64
    assert relative_error(narrow, network.predict(batch.x)) < 2e-6
    assert network.astype(np.float32).dtype == "float32"
    for wrong in ("float16", "int32", "bfloat16", None, 3):
        with pytest.raises(ValueError, match="float32' or 'float64"):
            network.astype(wrong)


@pytest.mark.parametrize(
    "duplicate",
    [
        Sequential.copy,
        copy.deepcopy,
        lambda n: pickle.loads(pickle.dumps(n)),
    ],
)
def test_copies_have_parameters_of_their_own(
    backend: Backend, batch: Batch, duplicate: Any
) -> None:
    network = TwoLayerNet(12, 6, 4, 0.5, seed=3)
    network.gradient(batch.x, batch.t)
    before = backend.to_numpy(network.predict(batch.x)).copy()
    twin = duplicate(network)
    assert type(twin) is TwoLayerNet
    assert twin.backend is backend
    np.testing.assert_array_equal(backend.to_numpy(twin.predict(batch.x)), before)
    twin.params["W1"] -= 1
    np.testing.assert_array_equal(backend.to_numpy(network.predict(batch.x)), before)


def test_a_network_is_built_from_layers_with_names(backend: Backend) -> None:
    network = Sequential({"in": affine_of(np.ones((3, 2)), np.zeros(2)), "cut": Relu()})
    assert list(network.layers) == ["in", "cut"]
    assert repr(network) == f"Sequential(in, cut; SoftmaxWithLoss) on {backend.name}, float64"


def test_layers_that_do_not_fit_together() -> None:
    with pytest.raises(TypeError, match="needs forward and backward"):
        Sequential([object()])
    layer = Relu()
    with pytest.raises(ValueError, match="twice"):
        Sequential([layer, layer])
    with fastnn.use_backend("numpy"):
        first = Relu()
    with fastnn.use_backend("numba"):
        second = Relu()
    if first.backend is not second.backend:
        with pytest.raises(ValueError, match="several backends"):
            Sequential([first, second])


def test_parameters_follow_the_layers(backend: Backend) -> None:
    first, second = (affine_of(np.full((2, 2), fill), np.zeros(2)) for fill in (1.0, 2.0))
    network = Sequential({"one": first})
    held = network.params
    assert fastnn.to_numpy(held["W1"])[0, 0] == 1
    network.layers["one"] = second
    assert fastnn.to_numpy(held["W1"])[0, 0] == 2
    network.layers["two"] = first
    assert list(held) == ["W1", "b1", "W2", "b2"]
    twin = network.copy()
    twin.params["W2"] *= 3
    assert fastnn.to_numpy(held["W2"])[0, 0] == 1
    first.parameters = ("W",)  # type: ignore[assignment,misc]
    assert list(held) == ["W1", "b1", "W2"]
    del network.layers["one"]
    assert held["W1"] is first.W
