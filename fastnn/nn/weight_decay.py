"""Which parameters decay, if it is not said: weights, but no biases and no normalisation's."""

from __future__ import annotations

import re
from collections.abc import Hashable

WITHOUT_DECAY = ("b", "bias", "beta", "gamma")


def is_weight(name: Hashable) -> bool:
    """Whether the name of a parameter neither begins nor ends with a word of `WITHOUT_DECAY`.

    "b1", "gamma2", "b_out" and "hidden.bias" do; "W1", "basis" and "x" do not.
    """
    words = re.findall("[A-Za-z]+", str(name))
    return not words or not {words[0], words[-1]} & set(WITHOUT_DECAY)
