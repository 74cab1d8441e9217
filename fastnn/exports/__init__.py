"""Networks in the formats of others.

What does the work is imported when it is called: `import fastnn` is to be cheap.
"""

from __future__ import annotations

from os import PathLike

from fastnn.nn.sequential import Sequential


def to_onnx(network: Sequential, path: str | PathLike[str]) -> None:
    """Write what a network computes in evaluation to an ONNX file, atomically.

    The input is called ``x`` (N, D), of the network's dtype. The output ``scores`` (N, C) is what
    `predict` gives; with `SoftmaxWithLoss` and `SigmoidWithLoss` there is another one,
    ``probabilities`` (N, C), which is what `predict_proba` gives. Operators are of opset 17. The
    metadata tell the version of fastnn, the class of the network and its layers; initializers have
    the names of `Sequential.state_dict`.

    Parameters
    ----------
    network : Sequential
        Of fastnn's layers.
    path : path
        An existing file is replaced when the new one is complete, and stays whole otherwise.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    OSError
        If the file cannot be written.
    TypeError
        If a layer, or `predict`, is of the user's own.
    ValueError
        If the parameters are more than an ONNX file can hold, 2 GB.
    """
    from fastnn.exports.onnx_file import write_onnx

    write_onnx(network, path)


def from_onnx(path: str | PathLike[str]) -> Sequential:
    """Make a network from an ONNX file that `to_onnx` wrote, on the active backend.

    Parameters, running state and what dropout draws next are those of the network that was
    written, to the bit.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    Sequential
        The network.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    OSError
        If the file cannot be read, or is no regular file.
    CorruptFileError
        If it is no ONNX file, or not as fastnn wrote it.
    ValueError
        If it was written by something else, or holds a loss of the user's own.
    """
    from fastnn.exports.onnx_file import read_onnx

    return read_onnx(path)
