"""The validation data of a training: given, or split off from the data set."""

from __future__ import annotations

from fastnn.backends.arrays import Array
from fastnn.backends.sparse_rows import SparseRows
from fastnn.checks import check_fraction
from fastnn.nn.loss import Loss
from fastnn.nn.sequential import Sequential
from fastnn.training.data import data_set


def check_validation(validation: object, validation_split: object) -> float:
    """Check that validation data are either given or to be split off; give the fraction."""
    fraction = check_fraction(validation_split, "validation_split")
    if fraction and validation is not None:
        raise ValueError("pass validation=(x, t) or validation_split, not both")
    return fraction


def held_out_data(network: Sequential, validation: tuple[object, object]) -> tuple[Array, Array]:
    """Check validation data and bring them to the device: an error now, not after an epoch."""
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise TypeError(f"validation must be a pair (x, t), got a {type(validation).__name__}")
    try:
        data, labels = data_set(network, *validation, which="validation ")
        _check_scored(network, data, labels)
    except Exception as error:
        error.add_note("in the data given as validation")
        raise
    return data, labels


def split_point(samples: int, fraction: float) -> int:
    """Give how many samples are trained on; the others, at the end, are held out."""
    kept = samples - round(samples * fraction)
    if fraction and not 0 < kept < samples:
        few = "none to train on" if not kept else "none to hold out"
        raise ValueError(f"validation_split is {fraction}, which of {samples} samples leaves {few}")
    return kept


def split_off(
    network: Sequential, data: Array, labels: Array, kept: int
) -> tuple[tuple[Array, Array], tuple[Array, Array] | None]:
    """Cut a checked data set in what is trained on, `kept` samples, and what is held out."""
    if kept == int(data.shape[0]):
        return (data, labels), None
    held_out = _part(data, slice(kept, None)), labels[kept:, ...]
    _check_scored(network, *held_out)
    return (_part(data, slice(kept)), labels[:kept, ...]), held_out


def _part(data: Array, some: slice) -> Array:
    return data.part(some) if isinstance(data, SparseRows) else data[some, ...]


def _check_scored(network: Sequential, data: Array, labels: Array) -> None:
    """See whether labels that nobody has checked give a score."""
    if not isinstance(network.last_layer, Loss) or network.replaced_method("accuracy"):
        network.score(data[:1, ...], labels[:1, ...])
