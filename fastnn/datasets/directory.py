"""A directory of IDX files as training and test data."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.checks import check_one_hot_size, check_path
from fastnn.datasets.idx import read_idx
from fastnn.datasets.names import find_files
from fastnn.wording import shown

Half = tuple[NDArray[Any], NDArray[Any]]
DataSet = tuple[Half, Half]


def load_idx(
    directory: str | PathLike[str],
    *,
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    name: str | None = None,
) -> DataSet:
    """Load a data set stored in MNIST's format: MNIST, Fashion-MNIST, EMNIST or your own.

    Parameters
    ----------
    directory : str or path-like
        Where the four files are: images and labels for training and for testing, uncompressed or
        .gz, named ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``; or as EMNIST's,
        ``emnist-letters-train-images-idx3-ubyte`` and so on, with ``test`` for ``t10k``. Where a
        file is there in both forms, the uncompressed one is read.
    normalize : bool, default True
        Return the pixels as float32 in [0, 1], each the stored byte divided by 255. Otherwise
        return them as they are stored, for most data sets uint8 in 0..255.
    flatten : bool, default True
        Return each image as one row of pixels. Otherwise as 1 x rows x columns.
    one_hot_label : bool, default False
        Return each label as a row of float32, one at the label's place and zero elsewhere.
        Otherwise as the label itself, int64.
    name : str, optional
        Which data set to load where the directory holds several: a split of EMNIST, with or
        without ``emnist-``. An empty string means the files that are called as MNIST's.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        x_train : (N, rows * columns) or (N, 1, rows, columns), float32 or the stored type
            Training images.
        t_train : (N,) int64 or (N, classes) float32
            Training labels. The number of classes is the largest label of both halves plus one.
        x_test, t_test
            Test images and labels in the same form.

    Raises
    ------
    ValueError
        A file is not sound IDX, its content does not fit the others, the pixels to normalize are
        not bytes, a label to make one-hot is negative or so large that no memory would hold the
        result, or the directory holds several data sets and `name` does not choose one of them.
    TypeError
        `directory` is no path, `name` no text, or a flag neither True nor False.
    FileNotFoundError, NotADirectoryError
        The directory or one of the four files is missing, or is something else.

    See Also
    --------
    load_mnist : MNIST itself, which needs no files of your own.
    read_idx : One IDX file.

    Notes
    -----
    EMNIST stores its images transposed; they are returned as stored. The labels of EMNIST's
    letters run from 1 to 26, which makes 27 classes of which the first is empty.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms", 2017. G. Cohen, S. Afshar, J. Tapson and A. van Schaik,
    "EMNIST: an extension of MNIST to handwritten letters", 2017.
    """
    flags = {"normalize": normalize, "flatten": flatten, "one_hot_label": one_hot_label}
    for flag, value in flags.items():
        if not isinstance(value, bool | np.bool_ | int) or value not in (0, 1):
            raise TypeError(f"{flag} must be True or False, got {shown(value)}")
    if not isinstance(name, str | None):
        raise TypeError(
            f"name must be the name of a data set, such as 'letters', got {shown(name)}"
        )
    files = find_files(check_path(directory, "directory", such_as="data"), name)
    t_train = _read_labels(files.train_labels)
    t_test = _read_labels(files.test_labels)
    x_train = _read_images(files.train_images, t_train, files.train_labels, normalize=normalize)
    x_test = _read_images(files.test_images, t_test, files.test_labels, normalize=normalize)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{files.test_images}: expected images of {_size(x_train)} pixels, as in "
            f"{files.train_images}, found {_size(x_test)}"
        )
    if one_hot_label:
        _check_not_negative(t_train, files.train_labels)
        _check_not_negative(t_test, files.test_labels)
        largest, path = max(
            (int(labels.max(initial=-1)), path)
            for labels, path in ((t_train, files.train_labels), (t_test, files.test_labels))
        )
        classes, samples = largest + 1, len(t_train) + len(t_test)
        what = f"{path}: expected labels to make one-hot, found the label {largest}"
        check_one_hot_size(samples, classes, what)
        t_train, t_test = _one_hot(t_train, classes), _one_hot(t_test, classes)
    return (_shaped(x_train, flatten), t_train), (_shaped(x_test, flatten), t_test)


def _read_images(
    path: Path, labels: NDArray[Any], labels_path: Path, *, normalize: bool
) -> NDArray[Any]:
    images = read_idx(path)
    if images.ndim != 3:
        raise ValueError(
            f"{path}: expected images in three dimensions (images, rows, columns), "
            f"found the shape {images.shape}"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{path}: expected as many images as there are labels in {labels_path}, "
            f"{len(labels)}, found {len(images)}"
        )
    if not normalize:
        return images
    if images.dtype != np.uint8:
        raise ValueError(
            f"{path}: expected uint8 pixels to normalize, found {images.dtype}; "
            f"normalize=False loads them as they are"
        )
    normalized = np.empty(images.shape, dtype=np.float32)
    np.divide(images, np.float32(255), out=normalized, dtype=np.float32)
    return normalized


def _read_labels(path: Path) -> NDArray[Any]:
    labels = read_idx(path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: expected labels as integers in one dimension, "
            f"found {labels.dtype} in the shape {labels.shape}"
        )
    return labels.astype(np.int64)


def _check_not_negative(labels: NDArray[Any], path: Path) -> None:
    if labels.min(initial=0) < 0:
        raise ValueError(
            f"{path}: expected labels of 0 or more to make one-hot, found {labels.min()}"
        )


def _one_hot(labels: NDArray[Any], classes: int) -> NDArray[Any]:
    rows = np.zeros((len(labels), classes), dtype=np.float32)
    rows[np.arange(len(labels)), labels] = 1
    return rows


def _shaped(images: NDArray[Any], flatten: bool) -> NDArray[Any]:
    count, height, width = images.shape
    return images.reshape((count, height * width) if flatten else (count, 1, height, width))


def _size(images: NDArray[Any]) -> str:
    return " x ".join(map(str, images.shape[1:]))
