"""Pictures that files, pages and notebooks show alike, without a window and without pyplot."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

NOTHING = np.nan
"""What is no number leaves a pixel of a picture white."""


class Picture(Figure):
    """A figure of matplotlib's that a notebook shows at the end of a cell, once."""

    def png(self) -> bytes:
        """Give the picture as a PNG file."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()

    def html(self, text: str) -> str:
        """Give the picture for a page that stands alone, with a text for those who do not see."""
        return embedded(self.png(), text)


def embedded(png: bytes, text: str) -> str:
    """Give a PNG file as a part of a page; `text` is plain HTML."""
    return f'<img alt="{text}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


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
