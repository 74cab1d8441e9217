"""Small data sets for both estimators, and what two of them are compared by."""

from __future__ import annotations

from typing import Any

import numpy as np


def numbers(seed: int, samples: int = 130, features: int = 7) -> np.ndarray[Any, Any]:
    """Give inputs (samples, features) of about unit magnitude."""
    return np.random.default_rng(seed).standard_normal((samples, features))


def classes(X: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Give a class for each sample that follows from its inputs."""
    W = np.random.default_rng(count).standard_normal((X.shape[1], count))
    return np.asarray(np.argmax(X @ W, axis=1))


def outputs(X: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Give numbers (samples, count) that follow from the inputs."""
    W = np.random.default_rng(count).standard_normal((X.shape[1], count))
    return np.asarray(np.tanh(X @ W))


def difference(one: Any, other: Any) -> float:
    """Give the largest difference between the coefficients of two estimators."""
    pairs = zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)
