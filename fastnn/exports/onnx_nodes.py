"""What each layer and loss is in operators of ONNX, in evaluation.

Operators are those of https://onnx.ai/onnx/operators, of `OPSET`. A layer of fastnn's that is none
of them is put together from several, as GELU is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastnn.backends.base import BATCH_NORM_EPSILON
from fastnn.exports.onnx_library import onnx_library
from fastnn.nn.activations import Gelu, LeakyRelu, Sigmoid, Tanh
from fastnn.nn.batch_normalization import BatchNormalization
from fastnn.nn.dropout import Dropout
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.losses import MeanSquaredError, PoissonWithLoss, SigmoidWithLoss, SoftmaxWithLoss

OPSET = 17
"""Version of the operators: of 2022, which runtimes of today all know."""


class Nodes:
    """The operators of a network, in the order in which they run.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        In what the network computes.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append an operator, and give the name of its output."""
        helper = onnx_library().helper
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, output: str, value: float) -> str:
        """Append a number in the network's dtype, which is no parameter."""
        tensor = onnx_library().numpy_helper.from_array(np.asarray(value, self.dtype))
        return self.add("Constant", [], output, value=tensor)

    def cast(self, tensor: str, dtype: str, output: str) -> str:
        """Append a cast to a dtype of NumPy's."""
        onnx = onnx_library()
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.add("Cast", [tensor], output, to=kind)


Names = Mapping[str, str]
"""What the arrays of a layer are called, by attribute."""


def _affine(nodes: Nodes, layer: Affine, arrays: Names, x: str, y: str) -> None:
    nodes.add("Gemm", [x, arrays["W"], arrays["b"]], y)


def _batch_normalization(
    nodes: Nodes, layer: BatchNormalization, arrays: Names, x: str, y: str
) -> None:
    taken = [arrays[name] for name in ("gamma", "beta", "running_mean", "running_var")]
    nodes.add("BatchNormalization", [x, *taken], y, epsilon=BATCH_NORM_EPSILON)


def _dropout(nodes: Nodes, layer: Dropout, arrays: Names, x: str, y: str) -> None:
    """``x * (1 - ratio)``, as in the book; the operator Dropout is `x` itself in evaluation."""
    nodes.add("Mul", [x, nodes.constant(f"{y}.kept", 1.0 - layer.ratio)], y)


def _leaky_relu(nodes: Nodes, layer: LeakyRelu, arrays: Names, x: str, y: str) -> None:
    nodes.add("LeakyRelu", [x], y, alpha=layer.slope)


def _gelu(nodes: Nodes, layer: Gelu, arrays: Names, x: str, y: str) -> None:
    """``x * (1 + erf(x / sqrt(2))) / 2``; erf in float32, since runtimes have no other."""
    scaled = nodes.add("Mul", [x, nodes.constant(f"{y}.scale", 1 / math.sqrt(2))], f"{y}.scaled")
    if nodes.dtype == "float32":
        erf = nodes.add("Erf", [scaled], f"{y}.erf")
    else:
        single = nodes.cast(scaled, "float32", f"{y}.scaled32")
        erf = nodes.cast(nodes.add("Erf", [single], f"{y}.erf32"), nodes.dtype, f"{y}.erf")
    shifted = nodes.add("Add", [erf, nodes.constant(f"{y}.one", 1.0)], f"{y}.shifted")
    half = nodes.add("Mul", [x, nodes.constant(f"{y}.half", 0.5)], f"{y}.halved")
    nodes.add("Mul", [half, shifted], y)


def _operator(name: str) -> Callable[[Nodes, Any, Names, str, str], None]:
    def put(nodes: Nodes, layer: object, arrays: Names, x: str, y: str) -> None:
        nodes.add(name, [x], y)

    return put


LAYERS: dict[type, Callable[[Nodes, Any, Names, str, str], None]] = {
    Affine: _affine,
    BatchNormalization: _batch_normalization,
    Dropout: _dropout,
    Gelu: _gelu,
    LeakyRelu: _leaky_relu,
    Relu: _operator("Relu"),
    Sigmoid: _operator("Sigmoid"),
    Tanh: _operator("Tanh"),
}
"""Each puts the operators of a layer between the tensors of these names."""

PROBABILITIES: dict[type, tuple[str, dict[str, int]] | None] = {
    SoftmaxWithLoss: ("Softmax", {"axis": 1}),
    SigmoidWithLoss: ("Sigmoid", {}),
    MeanSquaredError: None,
    PoissonWithLoss: None,
}
"""The operator, with its attributes, that makes probabilities of scores, if the loss has some."""
