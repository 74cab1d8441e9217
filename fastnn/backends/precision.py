"""How products of float32 are computed, where a backend has a choice. The names are PyTorch's."""

from __future__ import annotations

HIGHEST, HIGH, MEDIUM = "highest", "high", "medium"
PRECISIONS = (HIGHEST, HIGH, MEDIUM)
"""In float32, or from factors that are rounded to TF32 or to bfloat16."""
