"""Networks as ONNX files, and back from those that fastnn has written.

A file has the graph, for any runtime, and beside it in the metadata what fastnn needs to make the
network again: as `fastnn.nn.storage` has it, with a digest of it, of the arrays and the operators.
"""

from __future__ import annotations

import json
import os
from os import PathLike
from typing import Any

import numpy as np

from fastnn.checks import check_path
from fastnn.errors import CorruptFileError
from fastnn.exports.onnx_graph import check_exportable, graph_of, nodes_of
from fastnn.exports.onnx_library import onnx_library
from fastnn.exports.onnx_nodes import OPSET
from fastnn.nn.saving import LOSS_KINDS, saved_form
from fastnn.nn.sequential import Sequential
from fastnn.nn.storage import description_of, digest_of, is_description, saved_as_described
from fastnn.nn.tensor_file import parse_json
from fastnn.system.atomic_file import write_atomically
from fastnn.system.regular_file import open_regular
from fastnn.version import VERSION

IR_VERSION = 8
"""Version of the file format, the one that came with `OPSET`."""

LARGEST_FILE = (1 << 31) - 1
"""Bytes that a message of protobuf may have."""

NETWORK = "fastnn.network"
EXAMPLE = "network.onnx"


def write_onnx(network: Sequential, path: str | PathLike[str]) -> None:
    """Write a network; see `fastnn.to_onnx`."""
    onnx, target = onnx_library(), check_path(path, "path", such_as=EXAMPLE)
    check_exportable(network)
    with network._network_lock.alone, network.backend.current():
        saved, nodes = saved_form(network), nodes_of(network)
    size = sum(array.nbytes for array in saved.arrays.values())
    if size > LARGEST_FILE - (1 << 20):
        raise ValueError(
            f"the parameters take {size:,} bytes, and an ONNX file holds 2 GB: network.save(path) "
            "writes a file of any size"
        )
    arrays = {name: array.astype(network.dtype, copy=False) for name, array in saved.arrays.items()}
    described = description_of(saved)
    digest = digest_of(arrays, {**described, "nodes": _described(nodes.nodes)})
    model = onnx.helper.make_model(
        graph_of(network, nodes, arrays),
        producer_name="fastnn",
        producer_version=VERSION,
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(
        model,
        {
            "fastnn.version": VERSION,
            "fastnn.class": type(network).__name__,
            "fastnn.layers": ", ".join([*map(str, network.layers), saved.last_layer]),
            NETWORK: json.dumps({**described, "sha256": digest}),
        },
    )
    onnx.checker.check_model(model)
    write_atomically(target, model.SerializeToString(), "the network was not written")


def read_onnx(path: str | PathLike[str]) -> Sequential:
    """Make a network of a file; see `fastnn.from_onnx`."""
    model = _read(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if NETWORK not in metadata:
        raise ValueError(
            f"{path} was not written by fastnn, but by {model.producer_name or 'something else'}: "
            "fastnn.from_onnx reads what network.to_onnx wrote. Make the network here, and take "
            "its arrays over by network.load_state_dict({...}), from onnx.numpy_helper.to_array of "
            "the file's initializers"
        )
    try:
        described = parse_json(metadata[NETWORK])
        digest = described.pop("sha256")
        if not is_description(described):
            raise ValueError("its metadata are no description of layers")
        saved = saved_as_described(_arrays(model), described)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise CorruptFileError(f"{path} does not say what network it holds: {error}") from error
    if digest != digest_of(saved.arrays, {**described, "nodes": _described(model.graph.node)}):
        raise CorruptFileError(
            f"{path} was changed after fastnn wrote it, by an optimizer or by hand: its digest "
            "differs. Read the file that network.to_onnx wrote"
        )
    if saved.last_layer not in LOSS_KINDS:
        raise ValueError(
            f"{path} holds a loss of your own, {saved.last_layer}: keep such a network by "
            "network.save(path), make it again, and network.load(path)"
        )
    return Sequential.from_saved(saved, path)


def _read(path: str | PathLike[str]) -> Any:
    """Read a file without what it may refer to outside of it."""
    onnx = onnx_library()
    with open_regular(check_path(path, "path", such_as=EXAMPLE)) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read() if size <= LARGEST_FILE else b""
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
    except Exception as error:  # DecodeError of protobuf, ValidationError of onnx
        raise CorruptFileError(f"{path} is no whole ONNX file ({size} bytes): {error}") from error
    return model


def _arrays(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Give the arrays that a file holds itself."""
    onnx, tensors = onnx_library(), model.graph.initializer
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        raise ValueError("its arrays lie in another file")
    return {tensor.name: np.array(onnx.numpy_helper.to_array(tensor)) for tensor in tensors}


def _described(nodes: Any) -> list[Any]:
    """Tell of operators what a digest is made of."""
    return [
        [
            node.op_type,
            list(node.input),
            list(node.output),
            {one.name: _value(one) for one in node.attribute},
        ]
        for node in nodes
    ]


def _value(attribute: Any) -> str:
    onnx = onnx_library()
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        value = onnx.numpy_helper.to_array(value).tolist()
    return repr(value)
