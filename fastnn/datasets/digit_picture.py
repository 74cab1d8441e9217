"""A picture of a handwritten digit, prepared as the images of MNIST were.

"The original black and white images from NIST were size normalized to fit in a 20x20 pixel box
while preserving their aspect ratio. ... the images were centered in a 28x28 image by computing the
center of mass of the pixels, and translating the image so as to position this point at the center"
(LeCun, Cortes and Burges, the MNIST database). A network that was trained on such images knows no
digit of another size, at another place or dark on light.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.checks import check_path
from fastnn.extras import brought_by
from fastnn.system.regular_file import open_regular

Array = np.ndarray[Any, Any]

SIDE, BOX = 28, 20
"""Pixels of an image of MNIST, and of the box that a digit is fitted into."""

LEAST_CONTRAST = 24
"""Grey levels, of 255, by which a digit has to stand out from its background."""

FAINT = (0.01, 0.3)
"""Up to which share of the strongest ink a pixel is background, on plain paper and at most: twice
what nearly all of the border differs from its median by, for shadows, noise and JPEG's waves."""


def read_digit(path: str | Path, side: int = SIDE) -> Array:
    """Read a picture of one digit, light on dark or dark on light, anywhere in it, of any size.

    Parameters
    ----------
    path : str or Path
        A file of any format that Pillow reads. What is transparent is white; a photograph is turned
        as it was taken.
    side : int, optional
        Pixels of a side of the image that is made; the digit is fitted into 20/28 of it.

    Returns
    -------
    array of uint8 (side, side)
        Light on dark, its centre of mass in the middle.

    Raises
    ------
    ImportError
        If Pillow is not installed, the extra ``pictures``.
    OSError
        If the file cannot be read.
    ValueError
        If it is no picture, a damaged one or one too large, or nothing is drawn in it.
    """
    ink = _ink(_grey(path), path)
    return _centred(_fitted(ink, side * BOX / SIDE), side)


def _grey(path: str | Path) -> Array:
    with brought_by("pictures", "PIL", "read_digit needs Pillow"):
        from PIL import Image, ImageOps, UnidentifiedImageError

    with open_regular(check_path(path, "path", such_as="digit.png")) as file:
        try:
            with Image.open(file) as stored:
                picture = ImageOps.exif_transpose(stored)
        except UnidentifiedImageError:
            raise ValueError(f"{path}: neither an IDX file nor a picture") from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path}: Pillow cannot read this picture: {error}") from error
    if picture.mode[0] in "IF":  # numbers of more than eight bits, of which Pillow cuts the upper
        return _stretched(np.asarray(picture, "float64"), path)
    picture = picture.convert("RGBA")
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture)
    return np.asarray(paper.convert("L"), "float32")


def _stretched(numbers: Array, path: str | Path) -> Array:
    """Bring numbers of any range to grey levels."""
    if not np.isfinite(numbers).all():
        raise ValueError(f"{path}: some pixels are NaN or infinite")
    least, most = float(numbers.min()), float(numbers.max())
    return (numbers - least) * (255 / max(most - least, 1))


def _ink(grey: Array, path: str | Path) -> Array:
    """How much each pixel stands out from the background, which is what most of the border is."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    background = float(np.median(border))
    darker, lighter = background - grey, grey - background
    ink = darker if darker.max() >= lighter.max() else lighter
    most = float(ink.max())
    if most < LEAST_CONTRAST:
        raise ValueError(
            f"{path}: nothing is drawn in it; no pixel differs from the background by more than "
            f"{most:.0f} of 255 grey levels"
        )
    uneven = 2 * float(np.quantile(np.abs(border - background), 0.9)) / most
    share = ink / most
    return np.where(share > min(max(uneven, FAINT[0]), FAINT[1]), share, 0)


def _fitted(ink: Array, box: float) -> Array:
    """Cut to what is drawn, and scale that so that its longer side is as long as a box's."""
    from PIL import Image

    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = box / max(cut.shape)
    height, width = (max(1, round(length * factor)) for length in cut.shape)
    way = Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(cut.astype("float32")).resize((width, height), way))


def _centred(digit: Array, side: int) -> Array:
    """Put a digit on an empty image, its centre of mass in the middle, as far as it has room.

    In MNIST the middle is pixel 14, counted from 0: of the test images' centres all are between
    13.5 and 14.5.
    """
    image = np.zeros((side, side), "float32")
    total, starts = float(digit.sum()), []
    for axis, length in enumerate(digit.shape):
        mass = float(np.arange(length) @ digit.sum(axis=1 - axis)) / total
        starts.append(min(max(math.floor(side / 2 - mass + 0.5), 0), side - length))
    (top, left), (height, width) = starts, digit.shape
    image[top : top + height, left : left + width] = digit
    levels: Array = np.rint(image * (255 / image.max())).astype("uint8")
    return levels
