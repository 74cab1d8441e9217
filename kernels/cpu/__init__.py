"""Kernels for the CPU, compiled by Numba when first called and kept on disk.

Those named here serve single primitives: each does in one pass over memory what array code does in
several. They take C-contiguous arrays (the backend sees to it), so that each compiles to one
vectorised loop rather than one a layout, run on one thread and release the interpreter lock.

`fastnn.kernels.cpu.step` is a whole training step on several threads; start to read there, or in
docs/cpu.md. No kernel turns a label or a row number into an address that it has not compared with
the bounds.
"""

from fastnn.kernels.cpu.batch import take_rows
from fastnn.kernels.cpu.bias_and_relu import (
    add_bias,
    add_bias_relu,
    relu,
    sum_of_rows,
    zero_behind_relu,
    zero_where,
)
from fastnn.kernels.cpu.dropout_over_arrays import dropout, multiply_by_mask
from fastnn.kernels.cpu.labels import check_indices, classes_of_one_hot
from fastnn.kernels.cpu.loss import (
    count_correct,
    difference_over_samples,
    mean,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    squared_error,
)
from fastnn.kernels.cpu.normalization import (
    batch_norm_backward,
    batch_norm_evaluation,
    moving_average,
    normalise,
    scale_and_shift,
)
from fastnn.kernels.cpu.product import affine, transposed_product
from fastnn.kernels.cpu.skipping import (
    affine_skipping_zeros,
    transposed_product_skipping_zeros,
)
from fastnn.kernels.cpu.smooth import (
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh_backward,
)
from fastnn.kernels.cpu.update import (
    adagrad_update,
    adam_update,
    decay_weights,
    decayed_gradient,
    momentum_update,
    nesterov_update,
    rmsprop_update,
    sgd_update,
)

__all__ = [
    "adagrad_update",
    "adam_update",
    "add_bias",
    "add_bias_relu",
    "affine",
    "affine_skipping_zeros",
    "batch_norm_backward",
    "batch_norm_evaluation",
    "check_indices",
    "classes_of_one_hot",
    "count_correct",
    "decay_weights",
    "decayed_gradient",
    "difference_over_samples",
    "dropout",
    "gelu",
    "gelu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "mean",
    "momentum_update",
    "moving_average",
    "multiply_by_mask",
    "nesterov_update",
    "normalise",
    "relu",
    "rmsprop_update",
    "scale_and_shift",
    "sgd_update",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "squared_error",
    "sum_of_rows",
    "take_rows",
    "tanh_backward",
    "transposed_product",
    "transposed_product_skipping_zeros",
    "zero_behind_relu",
    "zero_where",
]
