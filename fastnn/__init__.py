"""fastnn: the neural network you write from scratch, on NumPy, Numba or CuPy.

The same layers and networks run on the backend that is selected: ``fastnn.set_backend("cupy")``.
"""

import importlib
from typing import Any

from fastnn.backends import (
    Backend,
    BackendInfo,
    available_backends,
    get_backend,
    set_backend,
    to_numpy,
    use_backend,
)
from fastnn.diagnostics.gradient_check import check_gradients
from fastnn.errors import (
    BackendFallbackWarning,
    BackendUnavailableError,
    CaptureWarning,
    CorruptFileError,
    KernelCacheWarning,
    LastBatchWarning,
    ParameterCopyWarning,
    TrainingWarning,
)
from fastnn.exports import from_onnx, to_onnx
from fastnn.nn.activations import Gelu, LeakyRelu, Sigmoid, Tanh
from fastnn.nn.batch_normalization import BatchNormalization
from fastnn.nn.dropout import Dropout
from fastnn.nn.functions import (
    cross_entropy_error,
    identity_function,
    one_hot,
    relu,
    sigmoid,
    sigmoid_grad,
    softmax,
    step_function,
    sum_squared_error,
)
from fastnn.nn.layer import Layer
from fastnn.nn.layers import Affine, Relu
from fastnn.nn.losses import MeanSquaredError, PoissonWithLoss, SigmoidWithLoss, SoftmaxWithLoss
from fastnn.nn.networks import MultiLayerNet, TwoLayerNet
from fastnn.nn.numerical_gradient import numerical_gradient
from fastnn.nn.optimizer import Optimizer
from fastnn.nn.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop
from fastnn.nn.provided import provide
from fastnn.nn.schedules import Constant, Cosine, StepDecay, Warmup
from fastnn.nn.sequential import Sequential
from fastnn.reports import plot_weights
from fastnn.threads import get_num_threads, set_num_threads
from fastnn.training.batches import Batches, batches
from fastnn.training.callbacks import Callback
from fastnn.training.checkpoint import Checkpoint
from fastnn.training.csv_logger import CSVLogger
from fastnn.training.data import shuffle_dataset
from fastnn.training.early_stopping import EarlyStopping
from fastnn.training.explanation import Explanation, explain
from fastnn.training.fit import fit
from fastnn.training.history import History, smooth_curve
from fastnn.training.summary import summarize
from fastnn.training.tensorboard import TensorBoard
from fastnn.training.trainer import Trainer
from fastnn.version import VERSION

__version__ = VERSION

provide("summary", summarize)
provide("to_onnx", to_onnx)

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Affine",
    "Backend",
    "BackendFallbackWarning",
    "BackendInfo",
    "BackendUnavailableError",
    "BatchNormalization",
    "Batches",
    "CSVLogger",
    "Callback",
    "CaptureWarning",
    "Checkpoint",
    "Constant",
    "CorruptFileError",
    "Cosine",
    "Dropout",
    "EarlyStopping",
    "Explanation",
    "Gelu",
    "History",
    "KernelCacheWarning",
    "LastBatchWarning",
    "Layer",
    "LeakyRelu",
    "MeanSquaredError",
    "Momentum",
    "MultiLayerNet",
    "Nesterov",
    "Optimizer",
    "ParameterCopyWarning",
    "PoissonWithLoss",
    "RMSprop",
    "Relu",
    "Sequential",
    "Sigmoid",
    "SigmoidWithLoss",
    "SoftmaxWithLoss",
    "StepDecay",
    "Tanh",
    "TensorBoard",
    "Trainer",
    "TrainingWarning",
    "TwoLayerNet",
    "Warmup",
    "available_backends",
    "batches",
    "check_gradients",
    "cross_entropy_error",
    "explain",
    "fit",
    "from_onnx",
    "get_backend",
    "get_num_threads",
    "identity_function",
    "numerical_gradient",
    "one_hot",
    "plot_weights",
    "relu",
    "set_backend",
    "set_num_threads",
    "shuffle_dataset",
    "sigmoid",
    "sigmoid_grad",
    "smooth_curve",
    "softmax",
    "step_function",
    "sum_squared_error",
    "to_numpy",
    "to_onnx",
    "use_backend",
]


def __getattr__(name: str) -> Any:
    if name == "datasets":  # which most scripts need, but not all
        return importlib.import_module("fastnn.datasets")
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what a script uses; pieces of the library are there as well."""
    return sorted({*__all__, "__version__", "datasets"})
