"""Pictures that files, pages and notebooks show alike, without a window and without pyplot."""

from __future__ import annotations

import base64
import io

from fastnn.extras import brought_by

with brought_by("plot", "matplotlib", "curves and other pictures need matplotlib"):
    from matplotlib.figure import Figure


class Picture(Figure):
    """A figure of matplotlib's that a notebook shows at the end of a cell, once."""

    def png(self, dpi: int = 100) -> bytes:
        """Give the picture as a PNG file, of so many pixels an inch."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=dpi)
        return file.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()

    def html(self, text: str) -> str:
        """Give the picture for a page that stands alone, with a text for those who do not see."""
        return embedded(self.png(), text)


def embedded(png: bytes, text: str) -> str:
    """Give a PNG file as a part of a page; `text` is plain HTML."""
    return f'<img alt="{text}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
