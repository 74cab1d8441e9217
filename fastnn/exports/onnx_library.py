"""The package `onnx`, which is imported when it is first needed."""

from __future__ import annotations

from typing import Any

from fastnn.extras import brought_by


def onnx_library() -> Any:
    """Give the module.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to install it.
    """
    with brought_by("onnx", "onnx", "ONNX files need the package onnx"):
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    return onnx
