"""Every primitive with arguments of every kind, beside its formula in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnn.backends import Backend
from tests.helpers.problems import relative_error


class Specification(Backend):
    """Nothing but `fastnn.backends.base`, over NumPy."""

    name = "specification"
    xp: Any = np

    def owns(self, array: object) -> bool:
        return isinstance(array, np.ndarray | np.generic)

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        return np.asarray(array)


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    """Numbers that float32 has too, some of them zero."""
    values = rng.standard_normal(shape)
    return np.where(rng.random(shape) < 0.2, 0, values).astype("float32").astype("float64")


def positive(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    """Numbers from 1/2 on that float32 has too."""
    return (0.5 + rng.random(shape)).astype("float32").astype("float64")


Case = tuple[tuple[Any, ...], dict[str, Any]]


def affine(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    x, W, b = floats(rng, n, d), floats(rng, d, m), floats(rng, m)
    yield (x, W, b), {}
    yield (x, W, b), {"relu": True}


def affine_backward(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    dout, x, W = floats(rng, n, m), floats(rng, n, d), floats(rng, d, m)
    yield (dout, x, W), {}
    yield (dout, x, W), {"input_gradient": False}
    yield (dout, np.maximum(x, 0), W), {"relu": True}


def relu(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m),), {}
    yield (floats(rng, n, 2, 3),), {}


def relu_backward(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m), floats(rng, n, m) <= 0), {}


def sigmoid(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m),), {}
    yield (4 * floats(rng, n, 2, 3),), {}
    yield (np.append(256 * floats(rng, n), 1.0),), {}


def sigmoid_backward(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m), np.abs(floats(rng, n, m)) % 1), {}
    yield (floats(rng, n, 2, 3), np.abs(floats(rng, n, 2, 3)) % 1), {}


def leaky_relu(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    for slope in (0.01, 0.0, 1.0, 3.7):
        yield (floats(rng, n, m),), {"slope": slope}
    yield (floats(rng, n, 2, 3),), {"slope": 0.3}


def leaky_relu_backward(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    for slope in (0.01, 0.0, 1.0, 3.7):
        yield (floats(rng, n, m), floats(rng, n, m)), {"slope": slope}
    yield (floats(rng, n, 2, 3), floats(rng, n, 2, 3)), {"slope": 0.3}


def gelu_backward(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m), floats(rng, n, m)), {}
    yield (floats(rng, n, 2, 3), 4 * floats(rng, n, 2, 3)), {}
    yield (np.append(floats(rng, n), 1.0), np.append(256 * floats(rng, n), 1.0)), {}


def dropout(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    for ratio, key, step in ((0.0, 0, 0), (0.5, 1, 2), (0.2, 2**64 - 1, 2**33 + 5)):
        yield (floats(rng, n, m), step), {"ratio": ratio, "key": key}
    yield (floats(rng, n, 2, d), np.array(7)), {"ratio": 1 - 2**-53, "key": 3}


def dropout_backward(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m), rng.random((n, m)) < 0.7), {}
    yield (floats(rng, n, 2, d), rng.random((n, 2, d)) < 0.7), {}


def count(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (np.array(2**40 + n),), {}


def batch_norm(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    gamma, beta = floats(rng, m), floats(rng, m)
    yield (floats(rng, n, m), gamma, beta), {}
    offsets = np.linspace(-1000, 1000, m).astype("float32").astype("float64")
    shifted = (offsets + floats(rng, n, m)).astype("float32").astype("float64")
    yield (shifted, gamma, beta), {}


def batch_norm_backward(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    std = positive(rng, m)
    yield (floats(rng, n, m), floats(rng, m), floats(rng, n, m), std), {}


def batch_norm_evaluation(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    var = positive(rng, m)
    yield (floats(rng, n, m), floats(rng, m), floats(rng, m), floats(rng, m), var), {}


def moving_average(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, m), floats(rng, m)), {"momentum": 0.9}
    yield (floats(rng, m), floats(rng, m)), {"momentum": 0.0}


def softmax(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m),), {}
    yield (8192 * floats(rng, n, m),), {}
    yield (floats(rng, 2, n, m),), {}


def softmax_cross_entropy(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m), rng.integers(0, m, n)), {}
    yield (128 * floats(rng, n, m), rng.integers(0, m, n)), {}


def softmax_cross_entropy_backward(
    rng: np.random.Generator, n: int, d: int, m: int
) -> Iterator[Case]:
    yield (np.abs(floats(rng, n, m)), rng.integers(0, m, n)), {}


def sigmoid_cross_entropy(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    bits, parts = rng.integers(0, 2, (n, m)).astype("float64"), np.abs(floats(rng, n, m)) % 1
    yield (floats(rng, n, m), bits), {}
    yield (128 * floats(rng, n, m), bits), {}
    yield (floats(rng, n, m), parts), {}


def sigmoid_cross_entropy_backward(
    rng: np.random.Generator, n: int, d: int, m: int
) -> Iterator[Case]:
    yield (np.abs(floats(rng, n, m)) % 1, rng.integers(0, 2, (n, m)).astype("float64")), {}


def squared_error(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m), floats(rng, n, m)), {}
    yield (1024 * floats(rng, n, m), floats(rng, n, m)), {}


def squared_error_backward(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m), floats(rng, n, m)), {}


def poisson_deviance(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m), rng.poisson(2, (n, m)).astype("float64")), {}
    yield (8 * floats(rng, n, m), np.abs(floats(rng, n, m))), {}


def poisson_deviance_backward(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (np.abs(floats(rng, n, m)), rng.poisson(2, (n, m)).astype("float64")), {}


def mean(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (np.abs(floats(rng, n)),), {}


def weighted(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    w = np.abs(floats(rng, n))
    w[n // 2] = 1
    for weights in (w, np.zeros(n), np.full(n, 0.375)):
        yield (floats(rng, n, m), weights), {}
        yield (np.abs(floats(rng, n)), weights), {}


def penalised(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    loss, W, other = np.abs(floats(rng, 1))[0], floats(rng, d, m), floats(rng, n, m)
    yield (np.asarray(loss), W), {"weight_decay": 0.1}
    yield (np.asarray(loss), W, other), {"weight_decay": 0.001}
    yield (np.asarray(loss), W, other), {"weight_decay": 0.001, "times": 3}


def count_correct(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m), rng.integers(0, m, n)), {}
    yield (np.zeros((n, m)), np.zeros(n, dtype="int64")), {}


def count_exact(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    bits, far = rng.integers(0, 2, (n, m)).astype("float64"), np.abs(floats(rng, n, m))
    yield (floats(rng, n, m), bits), {}
    yield (np.where(rng.random((n, m)) < 0.9, 2 * bits - 1, 0), bits), {}
    yield (np.where(bits == 1, np.maximum(far, 0.5), -far), bits), {}
    yield (floats(rng, n, m), np.full((n, m), 0.5)), {}


def label_indices(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    t = rng.integers(0, m, n)
    one_hot = np.eye(m)[t]
    for kind in ("int64", "uint8", "float64"):
        yield (t.astype(kind), m), {}
        yield (one_hot.astype(kind), m), {}
    for wrong in (-1, m, 0.5, np.nan, np.inf, -np.inf):
        yield (np.append(t, wrong), m), {}
        changed = one_hot.copy()
        changed[n // 2, m // 2] = wrong
        yield (changed, m), {}
    yield (np.append(t, m), m), {}
    yield (np.append(t, -1), m), {}
    yield (np.concatenate([one_hot, np.zeros((1, m))]), m), {}
    if m > 1:
        yield (np.concatenate([np.ones((1, m)), one_hot]), m), {}


def take_rows(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, n, m), rng.integers(0, n, 2 * n)), {}
    yield (floats(rng, n, 2, 3), rng.integers(0, n, 5)), {}
    pixels = rng.integers(0, 256, (n, m)).astype("uint8")
    yield (pixels, rng.integers(0, n, 5)), {"dtype": "DTYPE"}
    yield (pixels, rng.integers(0, n, 5)), {"dtype": "DTYPE", "scale": 1 / 255}
    yield (floats(rng, n, 2, 3), rng.integers(0, n, 5)), {"scale": -3.7}
    yield (rng.integers(0, 9, n), rng.integers(0, n, 5)), {}


def clip_factor(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    for clip_norm in (1e-3, 1.0, 1e6):
        yield (floats(rng, d, m), floats(rng, m), floats(rng, n, 2, 3)), {"clip_norm": clip_norm}
    yield (np.zeros((d, m)),), {"clip_norm": 1e-9}


def scaled_gradient(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, d, m), np.array(0.375)), {}
    yield (floats(rng, n, 2, 3), np.array(1.0)), {}


def decayed_gradient(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, d, m), floats(rng, d, m)), {"weight_decay": 0.01}
    yield (floats(rng, n, 2, 3), floats(rng, n, 2, 3)), {"weight_decay": 0.0}


def decay_weights(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, d, m),), {"lr": 0.5, "weight_decay": 0.1}
    yield (floats(rng, n, 2, 3),), {"lr": 0.1, "weight_decay": 0.0}


def sgd_update(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    yield (floats(rng, d, m), floats(rng, d, m)), {"lr": 0.1}
    yield (floats(rng, m), floats(rng, m)), {"lr": 0.0}


def momentum_update(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    for shape in ((d, m), (m,)):
        numbers = {"lr": 0.1, "momentum": 0.9}
        yield (floats(rng, *shape), floats(rng, *shape), floats(rng, *shape)), numbers


def adagrad_update(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    squares = floats(rng, d, m) ** 2
    yield (floats(rng, d, m), floats(rng, d, m), squares), {"lr": 0.1}


def rmsprop_update(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    numbers = {"lr": 0.1, "one_minus_decay_rate": 0.01}
    yield (floats(rng, d, m), floats(rng, d, m), floats(rng, d, m) ** 2), numbers


def adam_update(rng: np.random.Generator, n: int, d: int, m: int) -> Iterator[Case]:
    numbers = {"lr_t": 0.1, "one_minus_beta1": 0.1, "one_minus_beta2": 0.001}
    arrays = floats(rng, d, m), floats(rng, d, m), floats(rng, d, m)
    yield (*arrays, floats(rng, d, m) ** 2), numbers
    yield (*arrays, floats(rng, d, m) ** 2), {**numbers, "epsilon": 0.25}


CASES: dict[str, Callable[..., Iterator[Case]]] = {
    function.__name__: function
    for function in (
        momentum_update, adagrad_update, rmsprop_update, adam_update,
        affine, affine_backward, relu, relu_backward, sigmoid, sigmoid_backward, leaky_relu,
        leaky_relu_backward, gelu_backward, softmax, softmax_cross_entropy,
        softmax_cross_entropy_backward, sigmoid_cross_entropy, sigmoid_cross_entropy_backward,
        squared_error, squared_error_backward, poisson_deviance, poisson_deviance_backward,
        mean, count_correct, count_exact, label_indices,
        take_rows, sgd_update, dropout, dropout_backward, batch_norm, batch_norm_backward,
        batch_norm_evaluation, moving_average, clip_factor, scaled_gradient, decayed_gradient,
        decay_weights, penalised, count, weighted,
    )
}  # fmt: skip


CASES["nesterov_update"] = momentum_update
CASES["tanh"] = CASES["gelu"] = sigmoid
CASES["tanh_backward"] = sigmoid_backward

IN_PLACE = {
    "sgd_update": (0,),
    "momentum_update": (0, 2),
    "nesterov_update": (0, 2),
    "adagrad_update": (0, 2),
    "rmsprop_update": (0, 2),
    "adam_update": (0, 2, 3),
    "moving_average": (0,),
    "decay_weights": (0,),
    "count": (0,),
}
"""Which of its arguments a primitive changes; it gives the first of them."""


def bring(backend: Backend, value: Any, dtype: str) -> Any:
    if not isinstance(value, np.ndarray):
        return dtype if value == "DTYPE" else value
    return backend.asarray(value.copy(), dtype if value.dtype == "float64" else None)


def dtype_of(result: Any, dtype: str) -> str:
    """The dtype of what a primitive gives in `dtype`, judged by what its formula gives."""
    return dtype if result.dtype.kind == "f" else str(result.dtype)


CANCELLING = {
    "affine", "affine_backward", "softmax_cross_entropy", "sigmoid_cross_entropy",
    "poisson_deviance", "batch_norm",
    "batch_norm_backward",
}  # fmt: skip


def error_of(primitive: str, found: Any, right: Any) -> float:
    """Error relative to the largest entry.

    The few entries of a tiny result can all cancel to almost nothing, as the loss does that is the
    logarithm of almost 1: there the error counts relative to 1, which is the size of the inputs.
    """
    error = relative_error(found, right)
    if primitive in CANCELLING and np.size(right) <= 9:
        return error * min(1.0, float(np.max(np.abs(right))))
    return error


def as_tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def run(backend: Backend, primitive: str, case: Case, dtype: str) -> tuple[Any, ...]:
    arguments = [bring(backend, value, dtype) for value in case[0]]
    options = {name: bring(backend, value, dtype) for name, value in case[1].items()}
    found = results(backend, primitive, arguments, options)
    changed = IN_PLACE.get(primitive, ())
    for i, (before, after) in enumerate(zip(case[0], arguments, strict=True)):
        if i not in changed:
            np.testing.assert_array_equal(backend.to_numpy(after), before, "an input was changed")
    return found


def results(backend: Backend, primitive: str, arguments: Any, options: Any) -> tuple[Any, ...]:
    """What a primitive gives, or the arguments that it has changed."""
    result = getattr(backend, primitive)(*arguments, **options)
    if primitive not in IN_PLACE:
        return as_tuple(result)
    assert result is arguments[0]
    return tuple(arguments[i] for i in IN_PLACE[primitive])
