"""Weights of samples: how much each counts in the loss of its batch, beside the others.

The loss of a batch is ``sum(w * losses) / sum(w)``, as in scikit-learn and in PyTorch's weighted
cross-entropy; see `Backend.weighted`. So only the ratios of weights count.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.base import Backend
from fastnn.nn.loss import Loss
from fastnn.nn.losses import LOSSES
from fastnn.nn.validation import bits_as_bytes, real_array


def check_sample_weight(
    given: object,
    samples: int,
    backend: Backend,
    *,
    name: str = "sample_weight",
    may_be_zero: bool = False,
) -> Array:
    """Check the weights of samples, and bring them to a device.

    Parameters
    ----------
    given : array_like (K,)
        Finite, not negative, and not all zero.
    samples : int
        K.
    backend : Backend
        Where they are to be.
    name : str, optional
        What errors call them.
    may_be_zero : bool, optional
        Whether all of them may be: those of one batch among others.

    Returns
    -------
    array (K,) of float64
        Of its own.

    Raises
    ------
    TypeError
        If they are no real numbers.
    ValueError
        If there is not one for each sample, one is negative, NaN or infinite, or their sum is zero
        or infinite.
    """
    array = real_array(given, backend, name)[...]
    shape = tuple(array.shape)
    if shape != (samples,):
        one_each = math.prod(shape) == samples and len(shape) > 0
        ravel = f"; pass np.ravel({name})" if one_each else ""
        raise ValueError(
            f"{name} has shape {shape}, but there are {samples} samples: expected ({samples},)"
            f"{ravel}"
        )
    w = backend.copy(backend.asarray(bits_as_bytes(array), "float64"))
    xp = backend.xp
    if not bool(xp.all((w >= 0) & xp.isfinite(w))):
        raise _wrong_weight(host_array(w), name)
    with np.errstate(over="ignore"):
        total = float(xp.sum(w))
    if total == 0 and not may_be_zero:
        raise ValueError(f"{name} is 0 for every sample: at least one has to count")
    if not math.isfinite(total):
        raise ValueError(
            f"{name} adds up to infinity: only ratios count, so divide it by its largest, "
            f"{name} / np.max({name})"
        )
    return w


def _wrong_weight(w: np.ndarray[Any, Any], name: str) -> ValueError:
    first = int(np.flatnonzero(~((w >= 0) & np.isfinite(w)))[0])
    return ValueError(
        f"{name}[{first}] is {w[first]}: a weight is finite and not negative; 0 leaves a sample out"
    )


def check_takes_weights(loss: Any) -> None:
    """Refuse weights for a loss of the user's own that knows of none.

    One that derives from `Loss`, and leaves to it how losses become one, knows them.
    """
    inherits = type(loss).forward is Loss.forward and type(loss).backward is Loss.backward
    if not inherits or vars(loss).keys() & {"forward", "backward"}:
        names = ", ".join(cls.__name__ for cls in LOSSES)
        raise TypeError(
            f"sample_weight is for the losses of fastnn ({names}), and the network's is "
            f"{type(loss).__name__}, a class of your own: let it weigh the samples itself"
        )
