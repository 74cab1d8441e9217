"""The middle of a step in which layers are normalised over the batch.

Samples are shared by the threads as in any other step, and normalising is shared by units
(`fastnn.kernels.cpu.normalization_in_strips`), so the threads meet before and after it. Where the
inputs of the first layer are one group, a strip of its output belongs to one thread, which
normalises it without meeting anybody.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.backward import input_gradient_in_tiles
from fastnn.kernels.cpu.barrier import meet
from fastnn.kernels.cpu.compiler import chosen_by_type, inner_kernel
from fastnn.kernels.cpu.dropout_in_strips import drop_units
from fastnn.kernels.cpu.forward import add_parts_if_split, affine_in_tiles
from fastnn.kernels.cpu.losses_in_strips import loss
from fastnn.kernels.cpu.net import share
from fastnn.kernels.cpu.normalization_in_strips import normalise, normalise_backward
from fastnn.kernels.cpu.rules import in_advance
from fastnn.kernels.cpu.strips import narrow_tile
from fastnn.kernels.cpu.vector import lanes
from numba import types

Array = Any
Formula = Any


@inner_kernel
def forward_and_backward_meeting(
    net: Any, team: Any, run: Any, batch: Array, samples: Any, rule: Any, back_to_first: bool
) -> Any:
    """Do `backward.forward_and_backward`, with meetings; give a peak, and whether all have met.

    Where the last thing done is normalising, the peak is that of this thread's units.
    """
    zero, layers, begin = narrow_tile(net.memory), net.layers.size, np.int64(0)
    one = net.memory.dtype.type(1)
    add_parts_if_split(net.form.inputs, net, samples[0], samples[1])
    if net.shape.groups > 1 and not _normalise(zero, net, team, begin, batch.size):
        return one, False
    drop_units(net.dropout, net, begin, samples[0], samples[1])
    for number in range(1, layers):
        width = net.layers[number].strip_width
        affine_in_tiles(net.form.behind, width, net, number, samples[0], samples[1])
        if not _normalise(zero, net, team, number, batch.size):
            return one, False
        drop_units(net.dropout, net, number, samples[0], samples[1])
    of_first = of_first_sums(net.normalisations, in_advance(rule))
    of_scores = of_first if layers == 1 else one
    peak = loss(run.loss, net, batch, samples, of_scores)
    lowest = 0 if back_to_first else 1
    for number in range(layers - 1, lowest - 1, -1):
        if net.normalisations[number].is_there:
            if not meet(team.barrier, team.threads, team.give_way):
                return one, False
            factor = in_advance(rule) if number == 0 else one
            vectors = _share_of_vectors(zero, net, team, number)
            peak = normalise_backward(zero, net, number, vectors, batch.size, factor, rule)
            if number > lowest and not meet(team.barrier, team.threads, team.give_way):
                return one, False
        if number > lowest:
            factor = of_first if number == 1 else one
            strips = (begin, net.layers[number - 1].strip_count)
            width = net.layers[number - 1].strip_width
            peak = input_gradient_in_tiles(
                net.form.before, width, net, number, strips, samples, factor
            )
    return peak, True


@inner_kernel
def _normalise(zero: Any, net: Any, team: Any, number: int, samples: int) -> Any:
    """Normalise a thread's share of a layer, if it is normalised; False if not all have met."""
    if not net.normalisations[number].is_there:
        return True
    if not meet(team.barrier, team.threads, team.give_way):
        return False
    normalise(zero, net, number, _share_of_vectors(zero, net, team, number), samples)
    return meet(team.barrier, team.threads, team.give_way)


@inner_kernel
def _share_of_vectors(zero: Any, net: Any, team: Any, number: int) -> Any:
    """A thread's share of the vectors of a layer's columns."""
    count = (net.layers[number].outputs + lanes(zero) - 1) // lanes(zero)
    return share(team.thread, team.threads, count)


@inner_kernel
def _vectors_of_strip(zero: Any, net: Any, strip: int) -> Any:
    """The vectors of columns in a strip of the first layer."""
    layer = net.layers[0]
    begin = strip * layer.strip_width
    end = min(begin + layer.strip_width, layer.outputs)
    return begin // lanes(zero), (end + lanes(zero) - 1) // lanes(zero)


def of_first_sums(normalisations: Any, factor: Any) -> Any:
    """What the gradient by the first layer's output is multiplied by as it is made.

    That is `rules.in_advance`; one where `normalise_backward` follows, which does it then.
    """


def normalise_strip(normalisations: Any, net: Any, strip: int, samples: int) -> None:
    """Normalise a strip of the first layer, if it is normalised and its inputs are one group."""


def normalise_strip_backward(
    normalisations: Any, net: Any, strip: int, samples: int, rule: Any, peak: Any
) -> Any:
    """Go back through that; give the peak, which is `peak` where there is nothing to do."""


@chosen_by_type(of_first_sums)
def _of_first_sums(normalisations: Any, factor: Any) -> Formula:
    if isinstance(normalisations, types.NoneType):
        return lambda normalisations, factor: factor

    def choose(normalisations: Any, factor: Any) -> Any:
        return type(factor)(1) if normalisations[0].is_there else factor

    return choose


@chosen_by_type(normalise_strip)
def _normalise_strip(normalisations: Any, net: Any, strip: Any, samples: Any) -> Formula:
    if isinstance(normalisations, types.NoneType):
        return lambda normalisations, net, strip, samples: None

    def choose(normalisations: Any, net: Any, strip: Any, samples: Any) -> None:
        if normalisations[0].is_there and net.shape.groups == 1:
            zero = narrow_tile(net.memory)
            vectors = _vectors_of_strip(zero, net, strip)
            normalise(zero, net, np.int64(0), vectors, samples)

    return choose


@chosen_by_type(normalise_strip_backward)
def _normalise_strip_backward(
    normalisations: Any, net: Any, strip: Any, samples: Any, rule: Any, peak: Any
) -> Formula:
    if isinstance(normalisations, types.NoneType):
        return lambda normalisations, net, strip, samples, rule, peak: peak

    def choose(
        normalisations: Any, net: Any, strip: Any, samples: Any, rule: Any, peak: Any
    ) -> Any:
        if normalisations[0].is_there:
            zero = narrow_tile(net.memory)
            vectors = _vectors_of_strip(zero, net, strip)
            factor = in_advance(rule)
            return normalise_backward(zero, net, np.int64(0), vectors, samples, factor, rule)
        return peak

    return choose
