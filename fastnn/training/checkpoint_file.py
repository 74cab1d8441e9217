"""A training on disk: all that the next step depends on, and what has been seen so far.

It is one safetensors file, written atomically, so that network, optimizer and generator are always
of one moment. What is no array is JSON in its metadata; a digest covers all of it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.arrays import to_numpy
from fastnn.checks import LARGEST_COUNT
from fastnn.errors import CorruptFileError
from fastnn.nn.file_kinds import CHECKPOINT
from fastnn.nn.optimizer_file import arrays_of
from fastnn.nn.saving import saved_form
from fastnn.nn.storage import (
    SavedNetwork,
    description_of,
    is_description,
    read_arrays,
    saved_as_described,
    write_arrays,
)
from fastnn.nn.tensor_file import HostArrays
from fastnn.training.generator_state import for_json, is_state
from fastnn.training.history import History
from fastnn.training.optimizer_numbers import numbers_of
from fastnn.training.state import Training

NETWORK, OPTIMIZER, HISTORY, CALLBACKS = "network:", "optimizer:", "history:", "callback "


class SavedTraining(NamedTuple):
    """What a checkpoint holds.

    Attributes
    ----------
    network : SavedNetwork
    optimizer : dict
        Its "kind", "iter", and "numbers" as it was made and as they were "now".
    optimizer_arrays : dict of str to numpy.ndarray
        Its state; see `fastnn.nn.optimizer_file.arrays_of`.
    order : dict
        The state of the generator that batches are drawn by, for JSON.
    terms : dict
        What another `fit` must be called with to go on.
    history : History
    callbacks : list of (str, dict)
        The kind of each, and its state.
    ended : bool
        Whether a callback had ended the training.
    """

    network: SavedNetwork
    optimizer: dict[str, Any]
    optimizer_arrays: HostArrays
    order: dict[str, Any]
    terms: dict[str, Any]
    history: History
    callbacks: list[tuple[str, dict[str, Any]]]
    ended: bool


def write_checkpoint(path: str | PathLike[str], training: Training) -> None:
    """Write a training, and the state of its callbacks.

    Raises
    ------
    OSError
        If the file cannot be written; an old one is as it was.
    TypeError
        If the optimizer has no rule, or a callback gives something that a file does not hold.
    """
    with training.network._network_lock.alone:
        saved = saved_form(training.network)
        optimizer = training.optimizer
        arrays = _named(NETWORK, saved.arrays) | _named(OPTIMIZER, arrays_of(optimizer.state))
        lists, history = _parted(vars(training.history))
        history["epochs"] = training.closed_epochs
        arrays |= _named(HISTORY, {name: np.array(some, float) for name, some in lists.items()})
        kept = []
        for number, callback in enumerate(training.callbacks):
            kind, state = type(callback).__name__, callback.state_dict()
            found = {
                name: _on_host(f"{kind}.state_dict()[{name!r}]", value)
                for name, value in state.items()
                if hasattr(value, "shape")
            }
            arrays |= _named(f"{CALLBACKS}{number}:", found)
            values = {name: state[name] for name in state.keys() - found.keys()}
            kept.append([kind, _for_json(kind, values)])
        described = {
            "network": description_of(saved),
            "optimizer": {
                "kind": optimizer._kind(),
                "iter": int(optimizer.iter),
                "numbers": training.numbers_at_first,
                "now": numbers_of(optimizer),
            },
            "order": for_json(training.state_of_order()),
            "terms": training.terms(),
            "history": history,
            "callbacks": kept,
            "ended": training.ended,
        }
        write_arrays(path, arrays, CHECKPOINT, described, "the checkpoint")


def read_checkpoint(path: str | PathLike[str]) -> SavedTraining:
    """Read and check a checkpoint.

    Raises
    ------
    OSError
        If it cannot be read.
    CorruptFileError
        If it is no such file, or not as it was written.
    """
    arrays, described = read_arrays(path, CHECKPOINT, _is_description, "which training it holds")
    rest = dict(arrays)
    network = saved_as_described(_taken(rest, NETWORK), described["network"])
    optimizer_arrays = _taken(rest, OPTIMIZER)
    history = _history(_taken(rest, HISTORY), described["history"])
    callbacks = [
        (kind, {**values, **_taken(rest, f"{CALLBACKS}{number}:")})
        for number, (kind, values) in enumerate(described["callbacks"])
    ]
    if rest or history is None:
        what = f"arrays {sorted(rest)} of no use" if rest else "no history of a training"
        raise CorruptFileError(f"{path} holds {what}")
    return SavedTraining(
        network,
        described["optimizer"],
        optimizer_arrays,
        described["order"],
        described["terms"],
        history,
        callbacks,
        described["ended"],
    )


def _on_host(name: str, array: Any) -> np.ndarray[Any, Any]:
    host = np.asarray(to_numpy(array), order="C")
    if host.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{name} is of {host.dtype.name}: a checkpoint holds arrays of float32 and float64, "
            "and Python's own numbers"
        )
    return host


def _for_json(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(values)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{kind}.state_dict() has what a checkpoint does not hold ({error}): it may have "
            "arrays of float32 and float64, and numbers, texts, lists and dictionaries of these"
        ) from error
    return values


def _named(prefix: str, arrays: Mapping[str, Any]) -> HostArrays:
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def _taken(arrays: HostArrays, prefix: str) -> HostArrays:
    """Take those out of `arrays` whose names begin so."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def _parted(history: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part the fields of a history: lists of numbers, and single ones."""
    lists = {name: value for name, value in history.items() if isinstance(value, list)}
    return lists, {name: value for name, value in history.items() if name not in lists}


def _history(lists: HostArrays, single: Mapping[str, Any]) -> History | None:
    """Make a history of what a file holds; None if that is none."""
    whole, history = {**lists, **single}, History()
    expected = {field.name: getattr(history, field.name) for field in dataclasses.fields(History)}
    if whole.keys() != expected.keys():
        return None
    for name, before in expected.items():
        value = whole[name]
        if isinstance(before, list):
            if not hasattr(value, "shape") or value.ndim != 1:
                return None
            value = value.astype(int).tolist() if name == "epoch_steps" else value.tolist()
        elif type(value) is not type(before):
            return None
        setattr(history, name, value)
    in_order = 0 <= history.epochs <= len(history.epoch_steps) <= history.epochs + 1
    return history if in_order and sum(history.epoch_steps) == len(history.losses) else None


def _is_description(described: dict[str, Any]) -> bool:
    kinds = {
        "network": dict, "optimizer": dict, "order": dict, "terms": dict, "history": dict,
        "callbacks": list, "ended": bool,
    }  # fmt: skip
    if described.keys() != kinds.keys():
        return False
    if not all(isinstance(described[name], kind) for name, kind in kinds.items()):
        return False
    optimizer = described["optimizer"]
    return (
        is_description(described["network"])
        and optimizer.keys() == {"kind", "iter", "numbers", "now"}
        and isinstance(optimizer["kind"], str)
        and type(optimizer["iter"]) is int
        and 0 <= optimizer["iter"] <= LARGEST_COUNT
        and all(isinstance(optimizer[name], dict) for name in ("numbers", "now"))
        and is_state(described["order"])
        and all(_is_callback(one) for one in described["callbacks"])
    )


def _is_callback(one: Any) -> bool:
    if not isinstance(one, list) or len(one) != 2:
        return False
    return isinstance(one[0], str) and isinstance(one[1], dict)
