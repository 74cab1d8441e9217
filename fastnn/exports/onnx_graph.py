"""A network as a graph of ONNX: what runs, and what it is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.exports.onnx_library import onnx_library
from fastnn.exports.onnx_nodes import LAYERS, PROBABILITIES, Nodes
from fastnn.nn.layer import is_unmodified
from fastnn.nn.saving import arrays_of_state
from fastnn.nn.sequential import Sequential
from fastnn.wording import shown

X, SCORES, PROBABILITY = "x", "scores", "probabilities"
"""What the input and the outputs are called."""

HostArrays = dict[str, np.ndarray[Any, Any]]


def check_exportable(network: Sequential) -> None:
    """Refuse what ONNX has no operators for.

    Raises
    ------
    TypeError
        If a layer or the way through the layers is of the user's own.
    """
    if not isinstance(network, Sequential):
        raise TypeError(
            f"network must be one of fastnn's, such as TwoLayerNet, got {shown(network)}"
        )
    for name, layer in network.layers.items():
        if not any(is_unmodified(layer, cls) for cls in LAYERS):
            known = ", ".join(cls.__name__ for cls in LAYERS)
            raise TypeError(
                f"layer {name!r}, a {type(layer).__name__} of your own, has no operators "
                f"of ONNX here; {known} have. Put it together from these; or write the rest of the "
                "network, Sequential([...]).to_onnx(path), and add your operator by onnx.helper"
            )
    own = network.replaced_method("predict")
    if own:
        raise TypeError(
            f"{type(network).__name__} has a {own} of its own, which ONNX cannot know: write the "
            "layers alone, fastnn.Sequential(network.layers, network.lastLayer).to_onnx(path)"
        )


def nodes_of(network: Sequential) -> Nodes:
    """Give the operators that make scores of `x`, and probabilities where the loss has some."""
    nodes, x = Nodes(network.dtype), X
    called = {(id(layer), attribute): name for name, (layer, attribute) in _arrays(network)}
    layers = list(network.layers.items())
    for number, (name, layer) in enumerate(layers, 1):
        y = SCORES if number == len(layers) else f"{name}.out"
        arrays = {
            attribute: array for (key, attribute), array in called.items() if key == id(layer)
        }
        put = next(put for cls, put in LAYERS.items() if is_unmodified(layer, cls))
        put(nodes, layer, arrays, x, y)
        x = y
    if not layers:
        nodes.add("Identity", [X], SCORES)
    last = PROBABILITIES.get(type(network.last_layer))
    if last:
        operator, attributes = last
        nodes.add(operator, [SCORES], PROBABILITY, **attributes)
    return nodes


def graph_of(network: Sequential, nodes: Nodes, arrays: HostArrays) -> Any:
    """Give the `onnx.GraphProto` of these operators, with the arrays that they take."""
    onnx = onnx_library()
    helper, kind = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(network.dtype))
    features, outputs = _widths(network)

    def described(name: str, width: int | str, text: str) -> Any:
        return helper.make_tensor_value_info(name, kind, ["N", width], text)

    results = [described(SCORES, outputs, "what network.predict gives")]
    if nodes.nodes[-1].output[0] == PROBABILITY:
        results.append(described(PROBABILITY, outputs, "what network.predict_proba gives"))
    return helper.make_graph(
        nodes.nodes,
        type(network).__name__,
        [described(X, features, "a sample a row; images are flattened")],
        results,
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )


def _arrays(network: Sequential) -> Iterator[tuple[str, tuple[Any, str]]]:
    yield from network.owners().items()
    yield from arrays_of_state(network).items()


def _widths(network: Sequential) -> tuple[int | str, int | str]:
    """Give how many numbers the network takes and gives; a name where no layer tells."""
    shapes = [
        tuple(getattr(layer, attribute).shape)
        for layer, attribute in network.owners().values()
        if attribute in ("W", "gamma")
    ]
    return (shapes[0][0], shapes[-1][-1]) if shapes else ("D", "D")
