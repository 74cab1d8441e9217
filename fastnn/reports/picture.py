"""Samples as the pixels of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

NOTHING = np.nan
"""What is no number leaves a pixel of a picture white."""


def mosaic(images: np.ndarray[Any, Any], columns: int) -> np.ndarray[Any, Any]:
    """Lay images (K, rows, columns) side by side, with a white pixel between them."""
    count, height, width = images.shape
    lines = -(-count // columns)
    whole = np.full((lines * (height + 1) - 1, columns * (width + 1) - 1), NOTHING)
    for number, image in enumerate(images):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        whole[top : top + height, left : left + width] = image
    return whole


def image_shape(features: int) -> tuple[int, int] | None:
    """Give the shape of the square picture that a sample may be; None if it can be none."""
    side = round(features**0.5)
    return (side, side) if side * side == features and side > 1 else None
