"""The layers of a network, as in *Deep Learning from Scratch*, chapter 5.

A layer has `forward` and `backward`. It keeps what `backward` needs, and calls the primitives of
the backend that was active when it was made; the formulas stand in `fastnn.backends.base`. A layer
of your own needs nothing but these two methods. If it has parameters, it names them in
`parameters`, and leaves the gradient of each ``name`` in ``dname``. Where a class does not name
them, as the book's do not, they are found when its `backward` is first called; see
`fastnn.found_parameters`. ``parameters = ()`` says that there are none. If it does something else
in training, as the book's Dropout and BatchNormalization, its `forward` takes ``train_flg``, and is
given True in training and False in evaluation; see `fastnn.modes`.
"""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

from fastnn.backends.base import Array, Backend
from fastnn.backends.selection import get_backend
from fastnn.copies import arrived, attributes_of, carried, set_attributes, shallow
from fastnn.handed_over import fits, handed_over, take
from fastnn.validation import (
    DTYPES,
    Labels,
    check_labels,
    check_owned,
    check_real,
    common_dtype,
    dtype_name,
    is_of_floats,
    is_read_only,
    real_array,
)


class Layer:
    """What fastnn's layers have in common.

    Attributes
    ----------
    parameters : tuple of str
        Names of the attributes that training changes.
    backend : Backend
        Where the layer computes.
    """

    parameters: ClassVar[tuple[str, ...]] = ()
    backend: Backend

    def __init__(self) -> None:
        self.backend = get_backend()

    def forward(self, x: Array) -> Array:
        """Give the layer's output for a batch.

        fastnn's own layers also take ``for_backward``: with False they keep nothing, since no
        `backward` follows.
        """
        raise NotImplementedError

    def backward(self, dout: Array) -> Array:
        """Give the gradient by the input, from that by the output, and keep the parameters'."""
        raise NotImplementedError

    def forget(self) -> None:
        """Drop what `forward` and `backward` kept, by setting attributes anew.

        Copies and pickles of a layer have forgotten. So a layer of your own that derives from this
        class, and keeps something, says here what that is.
        """

    def __getstate__(self) -> object:
        """Give what copies and pickles carry: all but the last batch and its gradients."""
        twin = shallow(self)
        twin.forget()
        return carried(attributes_of(twin), self.backend)

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_attributes(self, arrived(state))
        for name in parameter_names(self):
            parameter = getattr(self, name)
            if is_read_only(parameter):  # such as joblib maps from a file
                setattr(self, name, self.backend.copy(parameter))

    def __repr__(self) -> str:
        backend = getattr(self, "backend", None)  # a subclass may have left out super().__init__()
        described = [] if backend is None else [*self._described(), backend.name]
        return f"{type(self).__name__}({', '.join(described)})"

    def _described(self) -> list[str]:
        """Say of what size and dtype the layer is, in a word each."""
        return []

    def _check(self, array: object, name: str) -> None:
        check_owned(array, self.backend, name, type(self).__name__)
        check_real(array, name)


class Affine(Layer):
    """``x @ W + b``, the fully connected layer.

    Parameters
    ----------
    W : array_like (D, M)
        Weights. An array of float32 or float64 on the backend is used as it is, of whatever layout:
        ``W -= lr * layer.dW`` trains the layer. Of any other array, one that is read-only, of
        another dtype or elsewhere, it takes a copy, with a `ParameterCopyWarning`; float16 becomes
        float32 then, other real dtypes float64. Lists are no arrays, and there is no warning.
    b : array_like (M,)
        Biases, likewise; W and b may be of two dtypes.

    Attributes
    ----------
    W, b : array (D, M), (M,)
        The parameters, on the layer's backend. It computes in float32 if both are, else in float64.
    x : array (N, D) or None
        The last input, flattened.
    dW, db : array (D, M), (M,) or None
        The gradients of the last `backward`, each of the dtype of its parameter.

    Raises
    ------
    TypeError
        If W or b hold no real numbers.
    ValueError
        If their shapes do not fit.
    """

    parameters = ("W", "b")

    def __init__(self, W: object, b: object) -> None:
        super().__init__()
        weights = real_array(W, self.backend, "W")
        biases = real_array(b, self.backend, "b")
        shapes = tuple(weights.shape), tuple(biases.shape)
        if weights.ndim != 2 or shapes[1] != shapes[0][1:] or 0 in shapes[0]:
            raise ValueError(
                f"W has shape {shapes[0]} and b {shapes[1]}: "
                "expected (D, M) and (M,), at least 1 each"
            )
        self.W: Array = take(W, weights, self.backend, "W", type(self).__name__)
        self.b: Array = take(b, biases, self.backend, "b", type(self).__name__)
        self.forget()

    def _described(self) -> list[str]:
        inputs, outputs = self.W.shape
        dtypes = dict.fromkeys(map(dtype_name, (self.W, self.b)))
        return [f"{inputs} -> {outputs}", " and ".join(dtypes)]

    def forget(self) -> None:
        """See `Layer.forget`."""
        self.x: Array = None
        self.dW: Array = None
        self.db: Array = None
        self._input_shape: tuple[int, ...] = ()

    def forward(self, x: Array, *, for_backward: bool = True) -> Array:
        """Give ``x @ W + b``.

        Parameters
        ----------
        x : array (N, ...)
            A batch on the layer's backend; more than two dimensions are flattened to (N, D).
            Any real dtype; it is cast to that in which the layer computes.
        for_backward : bool, optional
            False where no `backward` follows: `x` is not kept.

        Returns
        -------
        array (N, M)

        Raises
        ------
        TypeError
            If `x` is on another device, or holds no real numbers.
        ValueError
            If it has no batch axis, or a number of features other than D.
        """
        self._check(x, "x")
        features = self.W.shape[0]
        if x.ndim < 2 or 0 in x.shape or math.prod(x.shape[1:]) != features:
            raise ValueError(
                f"Affine: x has shape {tuple(x.shape)} and W {tuple(self.W.shape)}: "
                f"expected x of shape (N, {features}), N at least 1"
            )
        flat = x if x.ndim == 2 else self.backend.xp.reshape(x, (x.shape[0], -1))
        W, b, dtype = self._operands()
        flat = self.backend.astype(flat, dtype)
        if for_backward:
            self.x, self._input_shape = flat, tuple(x.shape)
        return self.backend.affine(flat, W, b)

    def _operands(self) -> tuple[Array, Array, str]:
        """Give W and b in one dtype, and its name; if there are two, they are cast each time."""
        W, b = self.W, self.b
        dtype = dtype_name(W)
        if W.dtype == b.dtype and dtype in DTYPES:
            return W, b, dtype
        dtype = common_dtype([W, b])
        return self.backend.astype(W, dtype), self.backend.astype(b, dtype), dtype

    def backward(self, dout: Array, *, input_gradient: bool = True) -> Array:
        """Give ``dx``, of the shape of x, and keep ``dW`` and ``db``.

        Parameters
        ----------
        dout : array (N, M)
            Gradient of the loss by the output.
        input_gradient : bool, optional
            False where nobody needs ``dx``: None is returned.

        Raises
        ------
        RuntimeError
            If `forward` was not called before.
        TypeError
            If `dout` is on another device, or holds no real numbers.
        ValueError
            If it has another shape than the output.
        """
        self._check(dout, "dout")
        expected = (_called(self.x, "Affine").shape[0], self.W.shape[1])
        _check_shape(dout, expected, "Affine")
        W, b, dtype = self._operands()
        dx, self.dW, self.db = self.backend.affine_backward(
            self.backend.astype(dout, dtype), self.x, W, input_gradient=input_gradient
        )
        if W is not self.W or b is not self.b:
            self.dW = self.backend.astype(self.dW, common_dtype([self.W]))
            self.db = self.backend.astype(self.db, common_dtype([self.b]))
        if dx is None or len(self._input_shape) == 2:
            return dx
        return self.backend.xp.reshape(dx, self._input_shape)


class Relu(Layer):
    """``max(x, 0)``.

    Attributes
    ----------
    mask : array of bool or None
        Where the last input was not positive: the gradient is 0 there.
    """

    parameters = ()

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """See `Layer.forget`."""
        self.mask: Array = None

    def forward(self, x: Array, *, for_backward: bool = True) -> Array:
        """Give ``max(x, 0)``, of the shape of `x` (any) and its dtype; NaN stays NaN.

        Without `for_backward` no mask is kept: no `backward` follows.

        Raises
        ------
        TypeError
            If `x` is on another device, or holds no real numbers.
        """
        self._check(x, "x")
        x = self.backend.astype(x, common_dtype([x]))
        if for_backward:
            self.mask = x <= 0
        return self.backend.relu(x)

    def backward(self, dout: Array) -> Array:
        """Give `dout` where the input was positive, and 0 elsewhere.

        Raises
        ------
        RuntimeError
            If `forward` was not called before.
        TypeError
            If `dout` is on another device, or holds no real numbers.
        ValueError
            If it has another shape than the output.
        """
        self._check(dout, "dout")
        _check_shape(dout, tuple(_called(self.mask, "Relu").shape), "Relu")
        return self.backend.relu_backward(
            self.backend.astype(dout, common_dtype([dout])), self.mask
        )


class SoftmaxWithLoss(Layer):
    """Softmax and the mean cross-entropy to the labels, as the last layer.

    Attributes
    ----------
    loss : array () or None
        The last mean loss, on the layer's backend.
    y : array (N, C) or None
        The last probabilities.
    t : array (N,), int64, or None
        The last labels, as indices of classes, however they were given.
    """

    parameters = ()

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """See `Layer.forget`."""
        self.loss: Array = None
        self.y: Array = None
        self.t: Array = None

    def forward(  # type: ignore[override]  # a loss is given labels as well
        self, x: Array, t: Array | Labels
    ) -> Array:
        """Give the mean over the batch of ``-log softmax(x)[t]``.

        Parameters
        ----------
        x : array (N, C)
            Scores on the layer's backend, of any finite size.
        t : array (N,) or (N, C)
            Labels on the layer's backend: indices of classes, or one-hot.

        Returns
        -------
        array ()
            The loss, on the backend; finite for finite scores.

        Raises
        ------
        TypeError
            If an array is on another device, or holds no real numbers.
        ValueError
            If shapes do not fit, or a label is out of range, not integral or not one-hot.
        """
        self._check(x, "x")
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"SoftmaxWithLoss: x has shape {tuple(x.shape)}: expected (N, C)")
        if not isinstance(t, Labels):
            check_owned(t, self.backend, "t", "SoftmaxWithLoss")
        t = check_labels(t, x.shape[0], x.shape[1], self.backend)
        self.t = t.indices
        x = self.backend.astype(x, common_dtype([x]))
        losses, self.y = self.backend.softmax_cross_entropy(x, self.t)
        self.loss = self.backend.mean(losses)
        return self.loss

    def backward(self, dout: float = 1) -> Array:
        """Give ``dout * (y - one_hot(t)) / N``, the gradient (N, C) by the scores.

        Raises
        ------
        RuntimeError
            If `forward` was not called before.
        """
        _called(self.y, "SoftmaxWithLoss")
        dx = self.backend.softmax_cross_entropy_backward(self.y, self.t)
        return dx if isinstance(dout, int | float) and dout == 1 else dx * dout


def is_plain(layer: Any, cls: type[Layer]) -> bool:
    """Whether a layer is one of fastnn's as it stands, no subclass and no method replaced."""
    return type(layer) is cls and not {"forward", "backward"} & vars(layer).keys()


def parameter_names(layer: Any) -> tuple[str, ...]:
    """Names of a layer's parameters, as far as they are known; see `names_its_parameters`."""
    names = getattr(layer, "parameters", ())
    if isinstance(names, str) or callable(names):
        given = f"the text {names!r}" if isinstance(names, str) else "a method"
        example = names if isinstance(names, str) else "W"
        raise TypeError(
            f"{type(layer).__name__}.parameters is {given}: name the parameters in a "
            f"tuple, ({example!r},)"
        )
    return tuple(names)


def names_its_parameters(layer: Any) -> bool:
    """Whether whoever wrote the layer's `backward` has also said what its parameters are.

    A class that has a `backward` of its own, and its ``parameters`` from fastnn's `Layer` or
    another class further up, has not: its backward may leave gradients that are not known there.
    """
    if "parameters" in attributes_of(layer):
        return True
    for cls in type(layer).__mro__:
        if "parameters" in vars(cls):
            return True
        if "backward" in vars(cls):
            return False
    return False


def arrays_of_floats(layer: Any) -> list[str]:
    """Name the attributes of a layer that are arrays of floats."""
    return [
        name
        for name, value in attributes_of(layer).items()
        if hasattr(value, "shape") and hasattr(value, "dtype") and is_of_floats(value)
    ]


def names_to_move(layer: Any) -> tuple[str, ...]:
    """Names of the arrays that go where the layer goes: its parameters.

    While it is not known which these are, all its arrays of floats go.
    """
    names = parameter_names(layer)
    if names_its_parameters(layer):
        return names
    return (*names, *[name for name in arrays_of_floats(layer) if name not in names])


def named_owners(layers: list[Any], names: list[tuple[str, ...]]) -> dict[str, tuple[Any, str]]:
    """Number the names of several layers: for W1, b1, W2, ..., the layer and the attribute."""
    counts: dict[str, int] = {}
    owners: dict[str, tuple[Any, str]] = {}
    for layer, attributes in zip(layers, names, strict=True):
        for attribute in attributes:
            counts[attribute] = counts.get(attribute, 0) + 1
            owners[f"{attribute}{counts[attribute]}"] = (layer, attribute)
    return owners


def gradient_of(layer: Any, name: str) -> Array:
    """Give the gradient that a layer's `backward` left for one of its parameters."""
    try:
        return getattr(layer, f"d{name}")
    except AttributeError:
        raise AttributeError(
            f"{type(layer).__name__} names the parameter {name!r}, but its backward has left no "
            f"gradient in d{name}"
        ) from None


def place_layer(layer: Any, backend: Backend, dtype: str, names: tuple[str, ...]) -> None:
    """See to it that arrays of a layer are on `backend` in `dtype`; those that are so stay."""
    for name in names:
        array = getattr(layer, name)
        if not fits(array, backend, dtype):
            setattr(layer, name, backend.copy(backend.asarray(array, dtype)))
    if isinstance(layer, Layer) and layer.backend is not backend:
        layer.backend = backend
        layer.forget()


def copy_layer(
    layer: Any,
    backend: Backend,
    dtype: str,
    names: tuple[str, ...] | None = None,
    *,
    keep_handed_over: bool = False,
) -> Any:
    """Copy a layer, with parameters of its own on `backend` in `dtype`; drop what it kept.

    The arrays of these names are brought there, by default the parameters. With `keep_handed_over`
    the copy has those that a user handed over, where they need no change.
    """
    moved = {}
    for name in parameter_names(layer) if names is None else names:
        array = getattr(layer, name)
        stays = keep_handed_over and handed_over(array) and fits(array, backend, dtype)
        moved[name] = array if stays else backend.copy(backend.asarray(array, dtype))
    if isinstance(layer, Layer):
        twin = copy.copy(layer)
        twin.backend = backend
        twin.forget()
    else:
        # Under whatever other names a layer has its parameters, they are the copies there, too.
        arrays = [(getattr(layer, name), array) for name, array in moved.items()]
        twin = copy.deepcopy(layer, {id(one): new for one, new in arrays if hasattr(one, "shape")})
    for name, array in moved.items():
        setattr(twin, name, array)
    return twin


def _called(kept: Array, layer: str) -> Array:
    if kept is None:
        raise RuntimeError(
            f"{layer}: call forward before backward (network.predict keeps nothing for it; "
            "network.loss does, and network.predict(x, train_flg=True))"
        )
    return kept


def _check_shape(dout: Array, expected: tuple[int, ...], layer: str) -> None:
    if tuple(dout.shape) != expected:
        raise ValueError(f"{layer}: dout has shape {tuple(dout.shape)}, the output had {expected}")
