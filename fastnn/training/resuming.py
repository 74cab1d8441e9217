"""Going on from a checkpoint: all is compared with the training that is to go on, then set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from fastnn.nn.optimizer_file import state_from
from fastnn.nn.saving import check_fits, restore
from fastnn.training.callbacks import Callback
from fastnn.training.checkpoint_file import SavedTraining, read_checkpoint
from fastnn.training.generator_state import from_json
from fastnn.training.state import Training


def resume(path: str | PathLike[str], training: Training, callbacks: Sequence[Callback]) -> None:
    """Set network, optimizer, generator, history and callbacks to what a checkpoint holds.

    Raises
    ------
    OSError, CorruptFileError
        If the file cannot be read, or is no whole checkpoint.
    ValueError
        If it is of another network, optimizer, data set or generator. Nothing was changed then, nor
        in the cases above.
    """
    saved = read_checkpoint(path)
    network, optimizer = training.network, training.optimizer
    check_fits(network, saved.network, path)
    _check_optimizer(saved, training, path)
    state = state_from(
        saved.optimizer_arrays, path, saved.optimizer["kind"], tuple(optimizer.state)
    )
    _check_terms(saved.terms, training.terms(), path)
    generator, kind = training.order.bit_generator, saved.order["bit_generator"]
    if type(generator).__name__ != kind:
        raise ValueError(
            f"{path} is of a training whose batches {kind} draws, and the seed of this one is a "
            f"{type(generator).__name__}: pass a seed of that kind"
        )
    restore(network, saved.network)
    optimizer.iter = saved.optimizer["iter"]
    for name, arrays in state.items():
        in_order = {each: arrays[each] for each in network.params if each in arrays}
        setattr(optimizer, name, in_order | arrays)
    for name, value in saved.optimizer["now"].items():
        if value != saved.optimizer["numbers"][name]:
            setattr(optimizer, name, value)
    generator.state = from_json(saved.order)
    vars(training.history).update(vars(saved.history), interrupted=False)
    training.ended = saved.ended
    _restore_callbacks(saved.callbacks, callbacks)


def _check_optimizer(saved: SavedTraining, training: Training, path: str | PathLike[str]) -> None:
    """Refuse another optimizer than the one the training began with, by its kind and numbers.

    What a callback has changed since then is not compared, but set, if it is a number.
    """
    kind, numbers = training.optimizer._kind(), training.numbers_at_first
    described = saved.optimizer
    if (described["kind"], described["numbers"]) != (kind, numbers):
        began = _worded(described["kind"], described["numbers"])
        raise ValueError(
            f"{path} is of a training that began with {began}, and this one has "
            f"{_worded(kind, numbers)}: make the optimizer as it was then"
        )
    if described["now"].keys() != numbers.keys():
        raise ValueError(f"{path} does not tell the numbers of {kind}")
    for name, value in described["now"].items():
        if value != numbers[name] and isinstance(value, dict):
            raise ValueError(
                f"{path} is of a training in which a callback set {name} to {value['of']}, which "
                "a checkpoint cannot hold: set it yourself, and begin anew"
            )


def _worded(kind: str, numbers: Mapping[str, Any]) -> str:
    given = [
        f"{name}={value['of'] if isinstance(value, dict) else value}"
        for name, value in numbers.items()
    ]
    return f"{kind}({', '.join(given)})"


def _check_terms(saved: dict[str, Any], terms: dict[str, Any], path: str | PathLike[str]) -> None:
    differing = [name for name in terms if saved.get(name) != terms[name]]
    if differing:
        theirs = ", ".join(f"{name} {saved.get(name)}" for name in differing)
        ours = ", ".join(f"{name} {terms[name]}" for name in differing)
        raise ValueError(
            f"{path} is of a training with {theirs}, and this one has {ours}: to go on, call fit "
            "as it was called then"
        )


def _restore_callbacks(
    saved: list[tuple[str, dict[str, Any]]], callbacks: Sequence[Callback]
) -> None:
    """Give each callback the state of the next one of its kind; without one it begins anew."""
    left = list(saved)
    for callback in callbacks:
        kind = type(callback).__name__
        state = next((one for one in left if one[0] == kind), None)
        if state is not None:
            left.remove(state)
            if state[1]:
                callback.load_state_dict(state[1])
