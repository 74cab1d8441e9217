"""What a network answers, as scikit-learn gives it: an array of NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.backends.arrays import Array, host_array
from fastnn.backends.sparse_rows import SparseRows, is_sparse
from fastnn.chunks import chunks
from fastnn.nn.functions import sigmoid, softmax
from fastnn.nn.sequential import Sequential, samples_at_once

MEANINGS: dict[str, Callable[[Sequential, Array], Array]] = {
    "identity": lambda network, scores: scores,
    "logistic": lambda network, scores: sigmoid(scores),
    "softmax": lambda network, scores: softmax(scores),
    "exp": lambda network, scores: network.backend.xp.exp(scores),
}
"""What scores mean, by the attribute `out_activation_`."""


def answers(network: Sequential, X: Any, out_activation: str) -> np.ndarray[Any, Any]:
    """Give the answers (N, C) for samples (N, D), some at a time.

    Parameters
    ----------
    network : Sequential
    X : array or sparse matrix (N, D)
        Rows of a sparse matrix are made dense piece by piece.
    out_activation : str
        A key of `MEANINGS`.
    """
    meaning = MEANINGS[out_activation]
    data = SparseRows(X) if is_sparse(X) else X
    pieces = []
    for some in chunks(int(data.shape[0]), samples_at_once(data)):
        scores = network.predict(data[some])
        with network.backend.current(), np.errstate(over="ignore", under="ignore"):
            pieces.append(host_array(meaning(network, scores)))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
