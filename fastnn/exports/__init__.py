"""Networks in the formats of others."""

from fastnn.exports.onnx_file import from_onnx, to_onnx

__all__ = ["from_onnx", "to_onnx"]
