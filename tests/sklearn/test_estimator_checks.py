"""scikit-learn's own contract for estimators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("sklearn", minversion="1.7")

from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn.sklearn import MLPClassifier, MLPRegressor

NOT_YET = (
    "check_sample_weight_equivalence_on_sparse_data",
    "check_estimator_sparse_tag",
)


def not_yet(estimator: Any) -> dict[str, str]:
    return dict.fromkeys(NOT_YET, "different weights and sparse data are still refused")


ESTIMATORS = [MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=not_yet)  # type: ignore[untyped-decorator]  # it has no types
def test_estimator(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
