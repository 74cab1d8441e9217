"""The layers of a network, as in *Deep Learning from Scratch*, chapter 5.

A layer has `forward` and `backward`. It keeps what `backward` needs, and calls the primitives of
the backend that was active when it was made; the formulas stand in `fastnn.backends.base`. A layer
of your own needs nothing but these two methods. If it has parameters, it names them in
`parameters`, and leaves the gradient of each ``name`` in ``dname``. Where a class does not name
them, as the book's do not, they are found when its `backward` is first called; see
`fastnn.nn.found_parameters`. ``parameters = ()`` says that there are none. If it does something
else in training, as the book's Dropout and BatchNormalization, its `forward` takes ``train_flg``,
and is given True in training and False in evaluation; see `fastnn.nn.modes`.
"""

from __future__ import annotations

import math

from fastnn.backends.arrays import Array
from fastnn.checks import DTYPES, common_dtype, dtype_name
from fastnn.nn.handed_over import take
from fastnn.nn.layer import Layer, check_shape, kept_by_forward
from fastnn.nn.validation import real_array


def _of_sizes(W: object, b: object) -> str:
    """Say how arrays are made of what seem to be the sizes of a layer."""
    if not (isinstance(W, int) and isinstance(b, int) and W > 0 and b > 0):
        return ""
    return (
        f"; for {W} inputs and {b} outputs take Affine(0.01 * np.random.randn({W}, {b}), "
        f"np.zeros({b})), or a network by its sizes, TwoLayerNet or MultiLayerNet"
    )


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
                f"expected (D, M) and (M,), at least 1 each{_of_sizes(W, b)}"
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
            On the layer's backend, in the dtype in which it computes.

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
        expected = (kept_by_forward(self.x, "Affine").shape[0], self.W.shape[1])
        check_shape(dout, expected, "Affine")
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
        check_shape(dout, tuple(kept_by_forward(self.mask, "Relu").shape), "Relu")
        return self.backend.relu_backward(
            self.backend.astype(dout, common_dtype([dout])), self.mask
        )
