"""Weights of classes as weights of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import _check_sample_weight


def with_class_weight(
    class_weight: dict[Any, float] | list[dict[Any, float]] | str,
    X: Any,
    y: Any,
    sample_weight: Any,
    incremental: bool,
) -> np.ndarray[Any, Any] | None:
    """Give the weights (N,) of samples, each multiplied by that of its class.

    Raises
    ------
    ValueError
        For "balanced" where more samples follow: `incremental`.
    """
    if incremental and class_weight == "balanced":
        raise ValueError(
            'class_weight="balanced" needs all samples, and partial_fit is given some: pass the '
            "weights as a dictionary, class_weight={class: weight}"
        )
    if y is None:
        return None  # scikit-learn says what is missing
    check_array(y, ensure_2d=False, allow_nd=True, dtype=None, input_name="y")
    weights = compute_sample_weight(class_weight, y)
    if sample_weight is None:
        return np.asarray(weights)
    return np.asarray(weights * _check_sample_weight(sample_weight, X))
