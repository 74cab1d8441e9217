"""Which line of the user's code a warning points to."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from pathlib import Path

PACKAGES = ("fastnn", "fastnn.kernels", "numba", "sklearn", "joblib")
"""What may be called by a user's line: fastnn, and what fastnn's estimators run in."""

BETWEEN = (contextlib.__file__, functools.__file__)


def depth_of_caller() -> int:
    """Count the frames up to the first one outside fastnn, for a warning to point there."""
    loaded = [sys.modules[name] for name in PACKAGES if name in sys.modules]
    packages = [f"{Path(module.__file__).parent}{os.sep}" for module in loaded if module.__file__]
    inside = (*packages, *BETWEEN)
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        frame, depth = frame.f_back, depth + 1
    return depth
