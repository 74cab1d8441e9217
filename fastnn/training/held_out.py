"""The validation data of a training, given or split off; and what it is measured by."""

from __future__ import annotations

from fastnn.backends.arrays import Array
from fastnn.backends.selection import backend_of
from fastnn.backends.sparse_rows import SparseRows
from fastnn.checks import check_fraction, is_of_floats
from fastnn.nn.judging import says_nothing
from fastnn.nn.loss import Loss
from fastnn.nn.sequential import Sequential
from fastnn.training.data import data_set, outputs_of
from fastnn.wording import a_kind


def check_validation(validation: object, validation_split: object) -> float:
    """Check that validation data are either given or to be split off; give the fraction."""
    fraction = check_fraction(validation_split, "validation_split")
    if fraction and validation is not None:
        raise ValueError("pass validation=(x, t) or validation_split, not both")
    return fraction


def held_out_data(network: Sequential, validation: tuple[object, object]) -> tuple[Array, Array]:
    """Check validation data and bring them to the device: an error now, not after an epoch."""
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        length = f" of {len(validation)}" if isinstance(validation, tuple | list) else ""
        split = "; a share of the samples is validation_split" if _is_number(validation) else ""
        raise TypeError(
            f"validation must be a pair (x, t), got {a_kind(validation)}{length}{split}"
        )
    try:
        data, labels = data_set(network, *validation, which="validation ")
    except Exception as error:
        error.add_note("in the data given as validation")
        raise
    return data, labels


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def split_point(samples: int, fraction: float) -> int:
    """Give how many samples are trained on; the others, at the end, are held out."""
    kept = samples - round(samples * fraction)
    if fraction and not 0 < kept < samples:
        few = "none to train on" if not kept else "none to hold out"
        raise ValueError(f"validation_split is {fraction}, which of {samples} samples leaves {few}")
    return kept


def split_off(
    data: Array, labels: Array, kept: int
) -> tuple[tuple[Array, Array], tuple[Array, Array] | None]:
    """Cut a checked data set in what is trained on, `kept` samples, and what is held out."""
    if kept == int(data.shape[0]):
        return (data, labels), None
    held_out = _part(data, slice(kept, None)), labels[kept:, ...]
    return (_part(data, slice(kept)), labels[:kept, ...]), held_out


def _part(data: Array, some: slice) -> Array:
    return data.part(some) if isinstance(data, SparseRows) else data[some, ...]


def measured_by(
    network: Sequential, t: Array, held_out: tuple[Array, Array], *, evaluates_training: bool
) -> str | None:
    """Name what the network is measured by after each epoch; None if by its loss alone.

    A loss of the user's own that does not say what it measures is taken for one of classes, unless
    there is one output, which tells no classes apart, or a target has a fraction.

    Parameters
    ----------
    network : Sequential
    t : array
        Targets of the training, some at least.
    held_out : tuple of array
        Inputs and targets of the validation.
    evaluates_training : bool
        Whether `t` are all targets of the training, and that is evaluated, too.

    Raises
    ------
    TypeError, ValueError
        If targets are not what the measure takes: now, and not after an epoch.
    """
    measure, (x, t_held_out) = network._measure(), held_out
    if network.replaced_method("accuracy"):
        network.score(x[:1, ...], t_held_out[:1, ...])
        return measure
    if measure is None or isinstance(network.last_layer, Loss):
        return measure
    outputs = outputs_of(network, x, "validation x")
    if says_nothing(network.last_layer) and (
        len(outputs) != 1 or outputs[0] == 1 or _has_fractions(t) or _has_fractions(t_held_out)
    ):
        return None
    network._judged(t_held_out, outputs, name="validation t")
    if evaluates_training:
        network._judged(t, outputs)
    return measure


def _has_fractions(t: Array) -> bool:
    """Whether a target is a number between two integers."""
    if not is_of_floats(t):
        return False
    xp = backend_of(t).xp
    return bool(xp.any(xp.isfinite(t) & (t != xp.floor(t))))
