"""The MNIST files that ship with the package."""

from __future__ import annotations

from pathlib import Path

from fastnn.datasets.directory import DataSet, load_idx

MNIST_DIRECTORY = Path(__file__).parent / "mnist"


def load_mnist(
    normalize: bool = True, flatten: bool = True, one_hot_label: bool = False
) -> DataSet:
    """Load MNIST: 60,000 handwritten digits to train with and 10,000 to test with.

    The files are part of the package, so nothing is downloaded. Each call returns new arrays.

    Parameters
    ----------
    normalize : bool, default True
        Return the pixels as float32 in [0, 1], each the stored byte divided by 255. Otherwise
        return the stored bytes, uint8 in 0..255.
    flatten : bool, default True
        Return each image as one row of 784 pixels. Otherwise as 1 x 28 x 28.
    one_hot_label : bool, default False
        Return each label as a row of ten float32, one where the digit stands and zero elsewhere.
        Otherwise as the digit itself, int64.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        x_train : (60000, 784) or (60000, 1, 28, 28), float32 or uint8
            Training images.
        t_train : (60000,) int64 or (60000, 10) float32
            Training labels.
        x_test, t_test
            The 10,000 test images and labels, in the same form.

    See Also
    --------
    load_idx : The same for files of your own.

    References
    ----------
    Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits".

    Examples
    --------
    >>> (x_train, t_train), (x_test, t_test) = load_mnist()
    >>> x_train.shape, t_train[:10].tolist()
    ((60000, 784), [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])
    """
    return load_idx(
        MNIST_DIRECTORY, normalize=normalize, flatten=flatten, one_hot_label=one_hot_label
    )
