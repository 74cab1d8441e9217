"""What bad input gets: the same built-in error on every backend, and an unchanged network.

And what good input of an unusual kind gets: the values of the same array of floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import fastnn
from fastnn import SGD, Affine, MultiLayerNet, Relu, Sequential, SoftmaxWithLoss, TwoLayerNet
from fastnn.backends import Backend
from tests.helpers.layers import Scale
from tests.helpers.problems import Batch, affine_of
from tests.helpers.refusals import WITH_LABELS, Frame, Operation, bits, changed, refuses

OPERATIONS: dict[str, Operation] = {
    "predict": lambda network, x, t: network.predict(x),
    **WITH_LABELS,
}


@pytest.fixture
def network(backend: Backend) -> TwoLayerNet:
    return TwoLayerNet(12, 5, 4, 0.5, seed=1)


@pytest.fixture
def batch() -> Batch:
    return Batch(7, 12, 4)


class Unreadable:
    """What gives an error for an array."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise ZeroDivisionError("no numbers")


BAD_X: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "too few features": (lambda x: x[:, :5], ValueError, r"\(7, 5\).*\(12, 5\).*\(N, 12\)"),
    "too many features": (lambda x: np.hstack([x, x]), ValueError, r"\(7, 24\).*\(12, 5\)"),
    "features of three axes": (lambda x: x.reshape(7, 2, 6)[:, :, :5], ValueError, r"\(7, 2, 5\)"),
    "no samples": (lambda x: x[:0], ValueError, r"\(0, 12\)"),
    "no features": (lambda x: x[:, :0], ValueError, r"\(7, 0\)"),
    "empty list": (lambda x: [], ValueError, r"shape \((1, )?0,?\)"),
    "a number": (lambda x: 3.0, ValueError, r"single number|shape \(\)"),
    "0-d": (lambda x: np.array(3.0), ValueError, r"single number|shape \(\)"),
    "complex": (lambda x: x + 0j, TypeError, r"complex64.*np\.real\(x\)"),
    "objects": (
        lambda x: x.astype(object), TypeError, r'dtype object.*np\.asarray\(x, dtype="float32"\)',
    ),
    "an object among numbers": (
        lambda x: changed(x.astype(object), Frame(1)), TypeError, r"x\[2, 5\] is a .*Frame",
    ),
    "decimals": (
        lambda x: [[Decimal(1)] * 12] * 7, TypeError, r'object.*np\.asarray\(x, dtype="float32"\)',
    ),
    "a gap": (lambda x: changed(x.astype(object), None), TypeError, r"x\[2, 5\] is None: fill"),
    "strings of numbers": (lambda x: x.astype(str), TypeError, r"dtype str.*np\.asarray\(x, "),
    "strings": (lambda x: changed(x.astype(str), "red"), TypeError, r"x\[2, 5\] is 'red'.*encode"),
    "new strings": (
        lambda x: np.full((7, 12), "red", np.dtypes.StringDType()), TypeError, r"0\] is 'red'",
    ),
    "a name": (lambda x: "data.npy", TypeError, "x is a str, 'data.npy'"),
    "bytes": (lambda x: b"0123", TypeError, "x is a bytes, b'0123'"),
    "dates": (lambda x: x.astype("M8[s]"), TypeError, r"datetime64.* / np\.timedelta64"),
    "times": (lambda x: x.astype("m8[s]"), TypeError, r"timedelta64.*x / np\.timedelta64"),
    "records": (lambda x: np.zeros(7, [("a", "f4")]), TypeError, "'a'.*structured_to_unstructured"),
    "raw bytes": (lambda x: np.zeros(7, "V4"), TypeError, r"void.*x\.view"),
    "None": (lambda x: None, TypeError, "x is None"),
    "a generator": (
        lambda x: (row for row in x), TypeError,
        r"x is a generator: .*list\(x\).*fastnn\.batches\(x\)",
    ),
    "an iterator": (lambda x: iter(x), TypeError, r"x is an iterator: .*list\(x\)"),
    "pairs": (lambda x: zip(x, x, strict=True), TypeError, r"x is a zip: .*fastnn\.batches"),
    "a dictionary": (lambda x: {"pixels": x}, TypeError, r"x is a dict: .*x\[\.\.\.\], of 'pix"),
    "values": (lambda x: {"x": x}.values(), TypeError, r"x is a dict_values: .*list\(x\)"),
    "a set": (lambda x: {1.0, 2.0}, TypeError, r"x is a set: .*sorted\(x\)"),
    "a function": (lambda x: lambda: x, TypeError, r"x is a function: call it"),
    "a class": (lambda x: np.ndarray, TypeError, "x is a type"),
    "a path": (lambda x: Path("x.npy"), TypeError, r"x is a .*Path: it must be an array"),
    "a foreign object": (lambda x: object(), TypeError, "x is an object: it must be an array"),
    "what cannot be read": (
        lambda x: Unreadable(), TypeError, r"x is a .*Unreadable.*ZeroDivisionError: no numbers",
    ),
    "one that cannot be read": (lambda x: [x[0], Unreadable()], TypeError, r"x\[1\] is a .*Unre"),
    "integers beyond 64 bits": (
        lambda x: [[10**30] * 12] * 7, TypeError, r'x\[0, 0\] is 10+, beyond.*dtype="float64"',
    ),
    "integers too long to write": (
        lambda x: [[10**5000] * 12] * 7, TypeError, r"0\] is an integer of about 5001 digits",
    ),
    "ragged lists": (lambda x: [[1, 2], [3]], ValueError, r"\[0\] has .*\(2,\).*\[1\] \(1,\)"),
    "ragged below": (
        lambda x: [[[1], [2]], [[1], [2, 3]]], ValueError, r"x\[1\] is ragged: .*\[1\]\[1\]",
    ),
    "masked": (lambda x: np.ma.masked_array(x, x > 0.5), TypeError, r"masked.*x\.filled"),
    "masked rows": (
        lambda x: list(np.ma.masked_array(x, x > 0.5)), TypeError, r"masked.*x\[0\]\.filled",
    ),
}  # fmt: skip

BAD_T: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "too few": (lambda t: t[:6], ValueError, r"7 samples.*\(6,\)"),
    "too many": (lambda t: np.tile(t, 2), ValueError, r"7 samples.*\(14,\)"),
    "none": (lambda t: [], ValueError, r"\(0,\)"),
    "a number": (lambda t: 1, ValueError, "one number"),
    "0-d": (lambda t: np.array(1), ValueError, "one number"),
    "negative": (lambda t: changed(t, -1, 3), ValueError, r"t\[3\] is -1.* 0 to 3"),
    "too large": (lambda t: changed(t, 4, 3), ValueError, r"t\[3\] is 4.* 0 to 3"),
    "negative int8": (lambda t: changed(t.astype("int8"), -128, 0), ValueError, r"t\[0\] is -128"),
    "beyond int64": (
        lambda t: changed(t.astype("uint64"), 2**63 + 1, 3), ValueError, "9223372036854775809",
    ),
    "beyond int64, as -1": (
        lambda t: changed(t.astype("uint64"), 2**64 - 1, 3), ValueError, "18446744073709551615",
    ),
    "NaN": (lambda t: changed(t.astype(float), np.nan, 6), ValueError, r"t\[6\] is nan"),
    "infinite": (lambda t: changed(t.astype(float), np.inf, 6), ValueError, r"t\[6\] is inf"),
    "a half": (lambda t: changed(t.astype(float), 0.5, 0), ValueError, r"t\[0\] is 0.5"),
    "almost whole": (lambda t: changed(t + 0.0, 1 + 2**-52, 0), ValueError, r"t\[0\] is 1.0000"),
    "a tiny negative": (lambda t: changed(t + 0.0, -1e-300, 0), ValueError, r"t\[0\] is -1e-300"),
    "huge": (lambda t: changed(t.astype(float), 1e300, 0), ValueError, r"1e\+300"),
    "one-hot, too wide": (lambda t: np.eye(5)[t], ValueError, r"\(7, 5\).*4 classes"),
    "one-hot, too narrow": (lambda t: np.eye(4)[t][:, :3], ValueError, r"\(7, 3\).*4 classes"),
    "a column": (lambda t: t[:, None], ValueError, r"\(7, 1\).*4 classes.*pass t\.ravel\(\)"),
    "a row": (lambda t: t[None], ValueError, r"\(1, 7\).*pass t\.ravel\(\)"),
    "columns": (lambda t: t[:, None, None], ValueError, r"\(7, 1, 1\).*pass t\.ravel\(\)"),
    "counted from 1": (lambda t: t % 4 + 1, ValueError, "0 to 3.*pass t - 1"),
    "of more classes": (lambda t: t * 2, ValueError, "up to 6 the network needs 7 outputs"),
    "-1 and 1": (lambda t: t % 2 * 2 - 1, ValueError, r"pass \(t \+ 1\) // 2"),
    "three axes": (lambda t: np.eye(4)[t][:, None], ValueError, r"\(7, 1, 4\)"),
    "halves": (lambda t: np.eye(4)[t] / 2, ValueError, "row 0 of t is not one-hot"),
    "soft": (lambda t: np.full((7, 4), 0.25), ValueError, "row 0 of t is not one-hot"),
    "two ones": (lambda t: changed(np.eye(4)[t], 1, 5), ValueError, "row 5 of t is not one-hot"),
    "no one": (lambda t: changed(np.eye(4)[t], 0, 5), ValueError, "row 5 of t is not one-hot"),
    "one and NaN": (
        lambda t: changed(np.eye(4)[t], np.nan, (5, (t[5] + 1) % 4)), ValueError, "row 5 of t",
    ),
    "one, -1 and 1": (
        lambda t: changed(np.eye(4)[t], [1, -1, 1, 0], 5), ValueError, "row 5 of t",
    ),
    "255 for one": (lambda t: 255 * np.eye(4, dtype="uint8")[t], ValueError, "not one-hot"),
    "complex": (lambda t: t + 0j, TypeError, "t.* dtype complex128"),
    "objects": (
        lambda t: t.astype(object), TypeError, r'dtype object.*np\.asarray\(t, dtype="int64"\)',
    ),
    "strings of digits": (lambda t: t.astype(str), TypeError, r'np\.asarray\(t, dtype="int64"\)'),
    "strings": (
        lambda t: np.array(["cat", "dog"])[t % 2], TypeError,
        r"t\[0\] is '(cat|dog)'.*np\.unique\(t, return_inverse=True\)",
    ),
    "bytes": (lambda t: np.array([b"cat"] * 7), TypeError, r"t\[0\] is b'cat'.*np\.unique"),
    "a string among labels": (lambda t: [*t[:6], "?"], TypeError, r"t\[6\] is '\?'.*np\.unique"),
    "a gap": (lambda t: [*t[:6], None], TypeError, r"t\[6\] is None: fill"),
    "dates": (lambda t: t.astype("M8[D]"), TypeError, r"datetime64.*np\.unique"),
    "a generator": (lambda t: (label for label in t), TypeError, "t is a generator"),
    "None": (lambda t: None, TypeError, "t is None"),
    "masked": (lambda t: np.ma.masked_array(t, t > 1), TypeError, "masked"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_X)
def test_bad_inputs(network: TwoLayerNet, batch: Batch, case: str) -> None:
    make, error, words = BAD_X[case]
    for operation in OPERATIONS.values():
        refuses(error, words, operation, network, make(batch.x), batch.t)


@pytest.mark.parametrize("case", BAD_T)
def test_bad_labels(network: TwoLayerNet, batch: Batch, case: str) -> None:
    make, error, words = BAD_T[case]
    for operation in WITH_LABELS.values():
        refuses(error, words, operation, network, batch.x, make(batch.t))


@pytest.mark.parametrize("case", ["complex", "negative", "too large", "NaN", "two ones", "halves"])
def test_bad_labels_that_are_on_the_device(
    network: TwoLayerNet, backend: Backend, batch: Batch, case: str
) -> None:
    make, error, words = BAD_T[case]
    t = backend.asarray(make(batch.t))
    for operation in WITH_LABELS.values():
        refuses(error, words, operation, network, batch.x, t)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_inputs_are_told_by_fit_and_shown_by_predict(
    network: TwoLayerNet, batch: Batch, bad: float
) -> None:
    x = changed(batch.x, bad)
    for name in ("fit", "check_gradients"):
        refuses(ValueError, rf"x\[2, 5\] is {bad}", WITH_LABELS[name], network, x, batch.t)
    before = bits(network)
    scores = fastnn.to_numpy(network.predict(x))
    assert not np.isfinite(scores[2]).any()
    np.testing.assert_array_equal(
        np.delete(scores, 2, axis=0),
        np.delete(fastnn.to_numpy(network.predict(batch.x)), 2, axis=0),
    )
    assert not math.isfinite(network.loss(x, batch.t))
    assert 0 <= network.accuracy(x, batch.t) <= 1
    assert not np.isfinite(fastnn.to_numpy(network.gradient(x, batch.t)["W2"])).all()
    assert bits(network) == before


def test_numbers_beyond_float32_become_infinite(network: TwoLayerNet, batch: Batch) -> None:
    x = changed(batch.x.astype("float64"), 1e300)
    words = r"x\[2, 5\] is 1e\+300, beyond the 3.4e\+38 of float32.*\(scale the data, or .*float64"
    assert not np.isfinite(fastnn.to_numpy(network.predict(x))[2]).any()
    refuses(ValueError, words, WITH_LABELS["fit"], network, x, batch.t)
    on_device = network.backend.asarray(x)
    refuses(ValueError, words, WITH_LABELS["fit"], network, on_device, batch.t)
    assert np.isfinite(fastnn.to_numpy(network.astype("float64").predict(x))).all()


def test_compressed_numbers_beyond_float32_are_told(network: TwoLayerNet, batch: Batch) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    if not network.backend.on_host:
        pytest.skip("compressed rows are for the CPU")
    rows = sparse.csr_matrix(changed(batch.x.astype("float64"), -1e39))
    words = r"x\[2, 5\] is -1e\+39, beyond the 3.4e\+38 of float32.*float64"
    refuses(ValueError, words, WITH_LABELS["fit"], network, rows, batch.t)


def test_numbers_beyond_float64_are_to_be_scaled(network: TwoLayerNet, batch: Batch) -> None:
    if np.finfo(np.longdouble).max <= np.finfo(np.float64).max:
        pytest.skip("no numbers are larger here")
    x = changed(batch.x.astype(np.longdouble), np.longdouble("1e400"))
    words = r"x\[2, 5\] is 1e\+400, beyond the 1.8e\+308 of float64, .*\(scale the data\):"
    refuses(ValueError, words, WITH_LABELS["fit"], network.astype("float64"), x, batch.t)


def test_the_layer_that_refuses_is_named(backend: Backend, batch: Batch) -> None:
    def network() -> Sequential:
        return Sequential([affine_of(np.ones((12, 4)), np.ones(4)), Relu(),
                           affine_of(np.ones((5, 4)), np.ones(4))])  # fmt: skip

    for operation in OPERATIONS.values():
        with pytest.raises(ValueError, match=r"\(\d, 4\) and W \(5, 4\)") as caught:
            operation(network(), batch.x, batch.t)
        assert "in layer 3 of the network, Affine(5 -> 4" in caught.value.__notes__[0]


class SumsTooMuch(Scale):
    """Its gradient is one number, where it should be one for each unit."""

    def backward(self, dout: Any) -> Any:
        self.dgamma = fastnn.get_backend().xp.sum(dout * self.x)
        return dout * self.gamma


def test_gradients_of_another_shape_are_told(backend: Backend, batch: Batch) -> None:
    gamma = backend.asarray(np.ones(12))
    network = Sequential([SumsTooMuch(gamma), affine_of(np.ones((12, 4)), np.ones(4))])
    words = r"SumsTooMuch has left a gradient dgamma of shape \(\), and .*'gamma' has \(12,\)"
    for name in ("gradient", "fit"):
        with pytest.raises(ValueError, match=words):
            WITH_LABELS[name](network, batch.x, batch.t)
    np.testing.assert_array_equal(fastnn.to_numpy(network.params["gamma1"]), 1)


def read_only(x: Any) -> Any:
    x = x.copy()
    x.setflags(write=False)
    return x


UNUSUAL: dict[str, Callable[[Any], Any]] = {
    "read-only": read_only,
    "frozen bytes": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed twice": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "misaligned": lambda a: np.frombuffer(b"!" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "lists": lambda a: a.tolist(),
    "list of rows": list,
    "tuple": lambda a: tuple(map(tuple, a)) if a.ndim > 1 else tuple(a),
    "memoryview": memoryview,
    "behind __array__": Frame,
    "a subclass": lambda a: a.view(np.recarray),
    "long double": lambda a: a.astype(np.longdouble),
    "several axes": lambda a: a.reshape(7, 3, 2, 2) if a.shape == (7, 12) else a,
}
KINDS: dict[str, Callable[[Any], Any]] = {
    "float16": lambda x: x.astype("float16"),
    "bool": lambda x: x > 0.5,
    "uint8": lambda x: (x * 255).astype("uint8"),
    "int8": lambda x: (x * 100 - 50).astype("int8"),
    "int64": lambda x: (x * 100 - 50).astype("int64"),
    "uint64": lambda x: (x * 100).astype("uint64"),
}
LABELS: dict[str, Callable[[Any], Any]] = {
    "int8": lambda t: t.astype("int8"),
    "uint64": lambda t: t.astype("uint64"),
    "float16": lambda t: t.astype("float16"),
    "float64 with -0.0": lambda t: np.where(t == 0, -0.0, t),
    "an iterator that is an array": lambda t: t.flat,
    "one-hot": lambda t: np.eye(4)[t],
    "one-hot int8": lambda t: np.eye(4, dtype="int8")[t],
    "one-hot bool": lambda t: np.eye(4, dtype=bool)[t],
    "one-hot Fortran": lambda t: np.asfortranarray(np.eye(4)[t]),
    "one-hot lists": lambda t: np.eye(4)[t].tolist(),
}


def results(x: Any, t: Any, classes: int = 4) -> list[np.ndarray[Any, Any]]:
    """Everything that a new network makes of a batch, and what training makes of the network."""
    network = TwoLayerNet(12, 5, classes, 0.5, seed=1)
    found = [
        network.predict(x),
        network.loss(x, t),
        network.accuracy(x, t),
        *network.gradient(x, t).values(),
        *network.numerical_gradient(x, t).values(),
    ]
    history = fastnn.fit(network, x, t, batch_size=3, epochs=2, progress=False, seed=0)
    found += [history.losses, *network.params.values()]
    return [fastnn.to_numpy(one) for one in found]


def assert_same(found: list[Any], expected: list[Any]) -> None:
    for one, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, right)


@pytest.mark.parametrize("kind", UNUSUAL)
def test_inputs_and_labels_of_any_layout(backend: Backend, batch: Batch, kind: str) -> None:
    x, t = batch.x.astype("float64"), batch.t
    make = UNUSUAL[kind]
    given, labels = make(x), make(t)
    assert_same(results(given, labels), results(x, t))
    if isinstance(given, np.ndarray):
        np.testing.assert_array_equal(np.asarray(given).reshape(x.shape), x)  # left as it was


@pytest.mark.filterwarnings("ignore::fastnn.TrainingWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_inputs_of_any_real_dtype(backend: Backend, batch: Batch, kind: str) -> None:
    x = KINDS[kind](batch.x)
    assert_same(results(x, batch.t), results(x.astype("float64"), batch.t))


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_real_dtype(backend: Backend, batch: Batch, kind: str) -> None:
    assert_same(results(batch.x, LABELS[kind](batch.t)), results(batch.x, batch.t))


def test_labels_of_bool(backend: Backend, batch: Batch) -> None:
    t = batch.t > 1
    assert_same(results(batch.x, t, 2), results(batch.x, t.astype(int), 2))


def test_arrays_of_a_device_and_of_the_host_may_be_mixed(backend: Backend, batch: Batch) -> None:
    expected = results(batch.x, batch.t)
    for x in (batch.x, backend.asarray(batch.x)):
        for t in (batch.t, batch.one_hot, backend.asarray(batch.t), backend.asarray(batch.one_hot)):
            assert_same(results(x, t), expected)


@pytest.mark.filterwarnings("ignore:the loss has not moved:fastnn.TrainingWarning")
def test_training_that_diverges_ends_and_shows_it(backend: Backend, batch: Batch) -> None:
    network = TwoLayerNet(12, 5, 4, 0.5, seed=1)
    with pytest.warns(fastnn.TrainingWarning, match="diverged: from step 9 on the loss is nan"):
        history = fastnn.fit(
            network, batch.x, batch.t,
            epochs=4, batch_size=3, optimizer=SGD(3e38), seed=0, progress=False,
        )  # fmt: skip
    assert len(history.losses) == 4 * 3
    assert math.isfinite(history.losses[0])
    assert not math.isfinite(history.losses[-1])
    assert not np.isfinite(fastnn.to_numpy(network.params["W2"])).all()


def test_parameters_that_are_read_only(backend: Backend, batch: Batch) -> None:
    W, b = read_only(np.ones((12, 4), "float32")), read_only(np.ones(4, "float32"))
    with pytest.warns(fastnn.ParameterCopyWarning, match=r"Affine: [Wb] is a read-only array"):
        layer = Affine(W, b)
    network = Sequential([layer])
    SGD(0.1).update(network.params, network.gradient(batch.x, batch.t))  # has made copies
    assert np.any(fastnn.to_numpy(network.params["W1"]) != 1)
    assert np.all(W == 1)


def test_updates_that_cannot_be_made_change_nothing(network: TwoLayerNet, batch: Batch) -> None:
    gradients = network.gradient(batch.x, batch.t)
    refuses(
        TypeError, "gradient of 'b2' is no array", lambda n, g: SGD(1).update(n.params, g),
        network, {**gradients, "b2": [0.0] * 4},
    )  # fmt: skip
    if network.backend.on_host:
        network.layers["Affine2"].b.setflags(write=False)
        refuses(
            ValueError, "'b2' is read-only", lambda n, g: SGD(1).update(n.params, g),
            network, gradients,
        )  # fmt: skip


def test_softmax_of_infinity_is_silent(backend: Backend) -> None:
    x = backend.asarray(np.array([[np.inf, 1.0], [-np.inf, 1.0]]))
    np.testing.assert_array_equal(backend.to_numpy(fastnn.softmax(x)), [[np.nan, np.nan], [0, 1]])


two, multi = cast(Any, TwoLayerNet), cast(Any, MultiLayerNet)

# More of them stand in test_training.py.
BAD_OPTIONS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "batch_size -1": ({"batch_size": -1}, ValueError, "batch_size must be at least 1, got -1"),
    "batch_size '3'": ({"batch_size": "3"}, TypeError, "batch_size must be an integer, got '3'"),
    "epochs 1.0": ({"epochs": 1.0}, TypeError, "epochs must be an integer, got 1.0"),
    "seed -1": ({"seed": -1}, ValueError, "seed must be .* got -1"),
    "seed 'a'": ({"seed": "a"}, TypeError, "seed must be .* got 'a'"),
    "a callback that is none": ({"callbacks": [3]}, TypeError, "callbacks"),
    "callbacks that are one": ({"callbacks": print}, TypeError, "callbacks"),
    "a class for an optimizer": ({"optimizer": SGD}, TypeError, "is the class SGD"),
    "validation of one": ({"validation": ([[0.0] * 12],)}, TypeError, "pair"),
    "validation features": (
        {"validation": ([[0.0] * 11] * 2, [0] * 2)},
        ValueError,
        r"^validation x.*\(2, 11\).*12, 5",
    ),
    "validation lengths": ({"validation": ([[0.0] * 12], [0, 1])}, ValueError, r"\(2,\)"),
    "validation empty": ({"validation": ([], [])}, ValueError, r"\(0,\)"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_of_fit(network: TwoLayerNet, batch: Batch, case: str) -> None:
    options, error, words = BAD_OPTIONS[case]
    options = {"batch_size": 3, "progress": False, **options}
    refuses(error, words, partial(fastnn.fit, **options), network, batch.x, batch.t)


@pytest.mark.parametrize(
    ("rate", "error"),
    [
        (np.nan, ValueError), (np.inf, ValueError), (-1e-9, ValueError),
        (np.float32(-1), ValueError),
        ("0.1", TypeError), (None, TypeError), (True, TypeError), (1j, TypeError), ([1], TypeError),
    ],
)  # fmt: skip
def test_bad_rates(rate: Any, error: type[Exception]) -> None:
    optimizer = SGD(0.25)
    with pytest.raises(error, match="lr must be"):
        SGD(rate)
    with pytest.raises(error, match="lr must be"):
        optimizer.lr = rate
    assert optimizer.lr == 0.25


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: two(0, 3, 2), ValueError, "input_size must be at least 1, got 0"),
        (lambda: two(4, -3, 2), ValueError, "hidden size must be at least 1, got -3"),
        (lambda: two(4, 3, 2.0), TypeError, "output_size must be an integer, got 2.0"),
        (lambda: two(True, 3, 2), TypeError, "input_size must be an integer, got True"),
        (lambda: multi(4, 3, 2), TypeError, "hidden_size_list must be a list of sizes, got 3"),
        (lambda: multi(4, "33", 2), TypeError, "hidden_size_list must be a list of sizes"),
        (lambda: two(4, 3, 2, -0.1), ValueError, "weight_init_std must be finite"),
        (lambda: two(4, 3, 2, math.nan), ValueError, "weight_init_std must be finite"),
        (
            lambda: two(4, 3, 2, "xaviour"),
            ValueError,
            "weight_init_std must be a number or .*'xavier', got 'xaviour'; did you mean 'xavier'",
        ),
        (
            lambda: multi(4, [3], 2, "rellu"),
            ValueError,
            "activation must be one of 'relu'.*, got 'rellu'; did you mean 'relu'",
        ),
        (lambda: multi(4, [3], 2, "he"), ValueError, "activation must be one of .*got 'he'$"),
        (lambda: multi(4, [3], 2, use_dropout=0.5), TypeError, "use_dropout must be True or False"),
        (lambda: multi(4, [3], 2, use_batchnorm=1), TypeError, "use_batchnorm must be True or"),
        (lambda: multi(4, [3], 2, dropout_ratio=1), ValueError, "dropout_ratio must be"),
        (lambda: multi(4, [3], 2, dropout_ration=-0.1), ValueError, "dropout_ratio must be"),
        (lambda: multi(4, [3], 2, 0.1), TypeError, "activation .*got 0.1; .*weight_init_std="),
        (lambda: two(4, 3, 2, None), TypeError, "weight_init_std must be a real number"),
        (lambda: two(4, 3, 2, dtype="float16"), ValueError, "'float32' or 'float64'"),
        (lambda: two(4, 3, 2, dtype="complex128"), ValueError, "complex128"),
        (lambda: two(4, 3, 2, seed=-1), ValueError, "seed must be"),
        (
            lambda: Sequential([Relu()], object()),
            TypeError,
            "last_layer, of the class object",
        ),
        (
            lambda: Sequential([Relu(), None]),
            TypeError,
            "of the class NoneType, needs",
        ),
        (lambda: Affine(np.ones((2, 3)), np.ones(2)), ValueError, r"\(2, 3\) and b \(2,\)"),
        (lambda: Affine(np.ones(3), np.ones(3)), ValueError, r"\(3,\) and b \(3,\)"),
        (
            lambda: Affine(12, 5),
            ValueError,
            r"12 inputs and 5 outputs take Affine\(0\.01 \* np\.ran",
        ),
        (
            lambda: cast(Any, Sequential)(Relu(), Relu()),
            TypeError,
            r"layers must be a list of layers, as in Sequential\(\[Affine\(W, b\), Relu\(\)\]\)",
        ),
        (
            lambda: Sequential([Relu(), SoftmaxWithLoss()]),
            TypeError,
            r"layer 'SoftmaxWithLoss1' is a loss.*Sequential\(\[\.\.\.\], SoftmaxWithLoss\(\)\)",
        ),
        (lambda: Affine(np.ones((0, 3)), np.ones(3)), ValueError, r"\(0, 3\)"),
        (lambda: Affine(np.ones((2, 3), complex), np.ones(3)), TypeError, "W has dtype complex128"),
        (lambda: Affine([["a"]], [1]), TypeError, "W has dtype str"),
        (lambda: Affine(np.ma.ones((2, 3)), np.ones(3)), TypeError, "masked"),
    ],
)
def test_bad_arguments_of_networks_and_layers(
    backend: Backend, make: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make()


class Elsewhere:
    """An array of a library that nobody knows."""

    shape, ndim, dtype, device = (1, 2), 2, "float32", "moon"


FOREIGN: dict[str, Any] = {
    "a list": [[1.0, 2.0]],
    "None": None,
    "masked": np.ma.masked_array([[1.0, 2.0]], [[True, False]]),
    "of another library": Elsewhere(),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_layers_refuse_arrays_of_elsewhere(backend: Backend, case: str) -> None:
    x = backend.asarray(np.ones((1, 2)))
    affine, relu, loss = affine_of(np.ones((2, 2)), np.ones(2)), Relu(), SoftmaxWithLoss()
    affine.forward(x), relu.forward(x), loss.forward(x, backend.asarray(np.array([0])))
    gradient = backend.to_numpy(affine.backward(x))
    dW = affine.dW
    words = rf"this layer computes on the {backend.name} backend|is None: the"
    for call in (
        affine.forward, affine.backward, relu.forward, relu.backward,
        lambda a: loss.forward(a, backend.asarray(np.array([0]))), lambda a: loss.forward(x, a),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=words):
            call(FOREIGN[case])
    assert affine.dW is dW
    np.testing.assert_array_equal(backend.to_numpy(affine.backward(x)), gradient)


def test_layers_of_a_device_refuse_arrays_of_the_host(backend: Backend) -> None:
    if backend.on_host:
        pytest.skip("this backend's arrays are those of the host")
    for layer in (affine_of(np.ones((2, 2)), np.ones(2)), Relu()):
        with pytest.raises(TypeError, match=r"numpy.ndarray.*layer.backend.asarray\(x\)"):
            layer.forward(np.ones((1, 2)))
    there = backend.asarray(np.ones((1, 2)))
    with fastnn.use_backend("numpy"):
        layer = Relu()
        with pytest.raises(TypeError, match=r"numpy backend: .*layer.backend.asarray\(x\)"):
            layer.forward(there)
        network = TwoLayerNet(2, 3, 2, seed=0)
        np.testing.assert_array_equal(network.predict(there), network.predict(np.ones((1, 2))))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda L, a: L["affine"].forward(a(2, 3)), ValueError, r"\(2, 3\) and W \(4, 5\)"),
        (lambda L, a: L["affine"].forward(a(4)), ValueError, r"\(4,\) and W \(4, 5\)"),
        (lambda L, a: L["affine"].forward(a(0, 4)), ValueError, r"\(0, 4\).*N at least 1"),
        (lambda L, a: L["affine"].forward(a(2, 2, 3)), ValueError, r"\(2, 2, 3\)"),
        (
            lambda L, a: L["affine"].backward(a(2, 4)),
            ValueError,
            r"\(2, 4\), the output.*\(2, 5\)",
        ),
        (
            lambda L, a: L["affine"].backward(a(1, 5)),
            ValueError,
            r"\(1, 5\), the output.*\(2, 5\)",
        ),
        (lambda L, a: L["relu"].backward(a(2, 4, 1)), ValueError, r"\(2, 4, 1\).*\(2, 4\)"),
        (lambda L, a: L["loss"].forward(a(2, 4, 1), a(2)), ValueError, r"\(2, 4, 1\)"),
        (lambda L, a: L["loss"].forward(a(0, 4), a(0)), ValueError, r"\(0, 4\)"),
        (lambda L, a: L["loss"].forward(a(2, 4), a(3)), ValueError, r"t have shape \(3,\)"),
        (lambda L, a: L["loss"].forward(a(2, 4), a(2) * 9), ValueError, r"t\[0\] is 9"),
    ],
)
def test_layers_refuse_shapes_that_do_not_fit(
    backend: Backend, call: Callable[..., Any], error: type[Exception], words: str
) -> None:
    def ones(*shape: int) -> Any:
        return backend.asarray(np.ones(shape))

    affine, relu = affine_of(np.ones((4, 5)), np.ones(5)), Relu()
    affine.forward(ones(2, 4)), relu.forward(ones(2, 4))
    with pytest.raises(error, match=words):
        call({"affine": affine, "relu": relu, "loss": SoftmaxWithLoss()}, ones)
    assert affine.backward(ones(2, 5)).shape == (2, 4)
