"""The package `onnx`, which is imported when it is first needed."""

from __future__ import annotations

from typing import Any


def onnx_library() -> Any:
    """Give the module.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to install it.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ImportError(
            "ONNX files need the package onnx: pip install 'fastnn-backends[onnx]'"
        ) from error
    return onnx
