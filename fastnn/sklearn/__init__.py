"""scikit-learn's `MLPClassifier` and `MLPRegressor`, trained by fastnn: change the import.

They have scikit-learn's parameters, attributes and defaults, and from the same `random_state` the
same initial weights and batches; docs/sklearn.md tells what they have besides, and what differs.
"""

from importlib.util import find_spec

if find_spec("sklearn") is None:
    raise ImportError("fastnn.sklearn needs scikit-learn: pip install 'fastnn-backends[sklearn]'")

from fastnn.sklearn.classifier import MLPClassifier
from fastnn.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
