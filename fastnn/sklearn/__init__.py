"""scikit-learn's `MLPClassifier` and `MLPRegressor`, trained by fastnn: change the import.

They have scikit-learn's parameters, attributes and defaults, and from the same `random_state` the
same initial weights and batches; docs/sklearn.md tells what they have besides, and what differs.
"""

from fastnn.extras import brought_by

with brought_by("sklearn", "sklearn", "fastnn.sklearn needs scikit-learn"):
    from fastnn.sklearn.classifier import MLPClassifier
    from fastnn.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
