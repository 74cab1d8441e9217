"""fastnn: the neural network you write from scratch, on NumPy, Numba or CuPy.

The same layers and networks run on the backend that is selected: ``fastnn.set_backend("cupy")``.
"""

from fastnn.backends import (
    Backend,
    BackendInfo,
    available_backends,
    get_backend,
    set_backend,
    to_numpy,
    use_backend,
)
from fastnn.consistency import check_gradients
from fastnn.errors import (
    BackendFallbackWarning,
    BackendUnavailableError,
    CaptureWarning,
    CorruptFileError,
    KernelCacheWarning,
    ParameterCopyWarning,
    TrainingWarning,
)
from fastnn.functions import cross_entropy_error, numerical_gradient, one_hot, softmax
from fastnn.history import History
from fastnn.layers import Affine, Layer, Relu, SoftmaxWithLoss
from fastnn.networks import MultiLayerNet, TwoLayerNet
from fastnn.optimizers import SGD, Optimizer
from fastnn.sequential import Sequential
from fastnn.threads import get_num_threads, set_num_threads
from fastnn.training import fit

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Affine",
    "Backend",
    "BackendFallbackWarning",
    "BackendInfo",
    "BackendUnavailableError",
    "CaptureWarning",
    "CorruptFileError",
    "History",
    "KernelCacheWarning",
    "Layer",
    "MultiLayerNet",
    "Optimizer",
    "ParameterCopyWarning",
    "Relu",
    "Sequential",
    "SoftmaxWithLoss",
    "TrainingWarning",
    "TwoLayerNet",
    "available_backends",
    "check_gradients",
    "cross_entropy_error",
    "fit",
    "get_backend",
    "get_num_threads",
    "numerical_gradient",
    "one_hot",
    "set_backend",
    "set_num_threads",
    "softmax",
    "to_numpy",
    "use_backend",
]
