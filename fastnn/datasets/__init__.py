"""MNIST, shipped with the package; data sets stored in the same format; pictures of digits."""

from fastnn.datasets.digit_picture import read_digit
from fastnn.datasets.directory import load_idx
from fastnn.datasets.idx import read_idx
from fastnn.datasets.shipped import load_mnist

__all__ = ["load_idx", "load_mnist", "read_digit", "read_idx"]
