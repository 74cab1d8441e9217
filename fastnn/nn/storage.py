"""Networks on disk, and other arrays: safetensors files, written atomically, checked when read."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable
from io import BufferedReader
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn.checks import check_path
from fastnn.errors import CorruptFileError
from fastnn.nn.file_kinds import NETWORK, FileKind, a_directory, another_kind, no_such_file
from fastnn.nn.tensor_file import HostArrays, parse_json, read_tensors
from fastnn.system.atomic_file import write_atomically
from fastnn.system.regular_file import open_regular

FORMAT = NETWORK.format


class SavedNetwork(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    arrays : dict of str to numpy.ndarray
        The parameters by name, and arrays of the state of layers.
    layers : list of (str, str)
        The layers by name, each with its kind.
    last_layer : str
        The kind of the loss.
    numbers : dict of str to dict of str to number, or None
        By the layer's name those that it was made with, and those of its state. None in a file of
        layers that have none, as all had once.
    weight_decay_lambda : float
        That of the network.
    """

    arrays: HostArrays
    layers: list[tuple[str, str]]
    last_layer: str
    numbers: dict[str, dict[str, float]] | None = None
    weight_decay_lambda: float = 0.0


def write_network(path: str | PathLike[str], saved: SavedNetwork) -> None:
    """Write a file: parameters as tensors; layers and a digest of all of it as metadata."""
    write_arrays(path, saved.arrays, NETWORK, description_of(saved), "the network")


def description_of(saved: SavedNetwork) -> dict[str, Any]:
    """Give what a file says beside the arrays, for JSON."""
    described: dict[str, Any] = {"layers": saved.layers, "last_layer": saved.last_layer}
    if saved.numbers is not None:
        described["numbers"] = saved.numbers
    if saved.weight_decay_lambda:
        described["weight_decay_lambda"] = saved.weight_decay_lambda
    return described


def read_network(path: str | PathLike[str]) -> SavedNetwork:
    """Read and check a file.

    Raises
    ------
    OSError
        If the file cannot be read, or is no regular file.
    CorruptFileError
        If it is no such file, or not as it was written. Whatever bytes it holds, there is no
        other error, and the memory used follows the size of the file.
    """
    arrays, described = read_arrays(path, NETWORK, is_description, "which layers it holds")
    return saved_as_described(arrays, described)


def saved_as_described(arrays: HostArrays, described: dict[str, Any]) -> SavedNetwork:
    """Give what a file holds from its arrays and a description; see `is_description`."""
    layers = [(name, kind) for name, kind in described["layers"]]
    return SavedNetwork(
        arrays,
        layers,
        described["last_layer"],
        described.get("numbers"),
        described.get("weight_decay_lambda", 0.0),
    )


def write_arrays(
    path: str | PathLike[str],
    arrays: HostArrays,
    kind: FileKind,
    described: dict[str, Any],
    what: str,
) -> None:
    """Write arrays, and what is `described` of them with a digest of all of it as metadata.

    `what` names what it is, for messages.
    """
    import safetensors.numpy

    target = check_path(path, "path", such_as=kind.such_as)
    # One entry, since safetensors writes several in an order that differs from run to run.
    digest = digest_of(arrays, described)
    metadata = {kind.format: json.dumps({**described, "sha256": digest})}
    content = safetensors.numpy.save(arrays, metadata)
    write_atomically(target, content, f"{what} was not saved")


def read_arrays(
    path: str | PathLike[str],
    kind: FileKind,
    is_description: Callable[[dict[str, Any]], bool],
    what: str,
) -> tuple[HostArrays, dict[str, Any]]:
    """Read what `write_arrays` has written; see `read_network` for the errors.

    `what` says in words what a description says that is one.
    """
    with _opened(check_path(path, "path", such_as=kind.such_as), kind) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            arrays, metadata = read_tensors(file, size)
            described = parse_json(metadata[kind.format]) if kind.format in metadata else None
        except ValueError as error:
            raise CorruptFileError(
                f"{path} is not a whole safetensors file ({size} bytes): {error}"
            ) from error
    if described is None:
        raise another_kind(kind, path, metadata)
    digest = described.pop("sha256", None) if isinstance(described, dict) else None
    if not isinstance(digest, str) or not is_description(described):
        raise CorruptFileError(f"{path} does not say {what}")
    if digest != digest_of(arrays, described):
        raise CorruptFileError(f"{path} was changed after it was written: its digest differs")
    return arrays, described


def _opened(path: Path, kind: FileKind) -> BufferedReader:
    if path.is_dir():
        raise a_directory(kind, path)
    try:
        return open_regular(path)
    except FileNotFoundError as error:
        raise no_such_file(kind, error) from None


def is_description(described: dict[str, Any]) -> bool:
    """Whether this is what `write_network` writes beside the arrays."""
    if described.keys() - {"numbers", "weight_decay_lambda"} != {"layers", "last_layer"}:
        return False
    if not _are_numbers(described.get("numbers", {})):
        return False
    decay = described.get("weight_decay_lambda", 0.0)
    if type(decay) not in (int, float) or not 0 <= decay < math.inf:
        return False
    layers, texts = described["layers"], [described["last_layer"]]
    if not (isinstance(layers, list) and all(isinstance(pair, list) for pair in layers)):
        return False
    texts += itertools.chain.from_iterable(layers)
    return all(len(pair) == 2 for pair in layers) and all(isinstance(text, str) for text in texts)


def _are_numbers(numbers: Any) -> bool:
    """Whether these are numbers by name, by the name of a layer."""
    return isinstance(numbers, dict) and all(
        isinstance(of_layer, dict) and all(type(one) in (int, float) for one in of_layer.values())
        for of_layer in numbers.values()
    )


def digest_of(arrays: HostArrays, described: dict[str, Any]) -> str:
    """Give a digest of arrays and their description."""
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)  # as the file holds it
        digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
