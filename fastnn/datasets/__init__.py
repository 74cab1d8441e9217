"""MNIST, shipped with the package, and every data set stored in the same format."""

from fastnn.datasets.directory import load_idx
from fastnn.datasets.idx import read_idx
from fastnn.datasets.shipped import load_mnist

__all__ = ["load_idx", "load_mnist", "read_idx"]
