"""``weight_decay / 2 * sum(W**2)``, which a penalty adds to the loss.

The weights are those that the batch went forward with. So their squares are summed between the two
meetings of a step, while nobody changes a weight: those of a unit of the first layer by the thread
that owns it, whose cache has them, those of a strip of any other layer by the thread whose share it
is. The sums of units and strips are added up in their order, which depends on shapes alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.compiler import chosen_by_type, inner_kernel
from fastnn.kernels.cpu.net import features_of, share, unit_of
from fastnn.kernels.cpu.rules import PENALTIES, Penalised, PenalisedMore
from fastnn.kernels.cpu.softmax_in_strips import mean_loss
from fastnn.kernels.cpu.strips import in_strips
from fastnn.kernels.cpu.sums import RUN
from fastnn.kernels.cpu.vector import add, fma, lanes
from fastnn.kernels.cpu.vector_lanes import sum_of_lanes
from fastnn.kernels.cpu.vector_memory import load


def prepare_penalty(rule: Any, net: Any, team: Any) -> None:
    """Sum a thread's share of the squares of all weights, if the rule has a penalty."""


def whole_loss(rule: Any, net: Any, samples: int) -> Any:
    """The mean loss of a batch, with the penalty if there is one."""


@chosen_by_type(prepare_penalty)
def _prepare_penalty(rule: Any, net: Any, team: Any) -> Any:
    if rule.instance_class in PENALTIES:
        return lambda rule, net, team: sum_squares(net, team)
    return lambda rule, net, team: None


@chosen_by_type(whole_loss)
def _whole_loss(rule: Any, net: Any, samples: Any) -> Any:
    if rule.instance_class is Penalised:
        return lambda rule, net, samples: mean_loss(net, samples) + penalty(net, rule.weight_decay)
    if rule.instance_class is PenalisedMore:
        return lambda rule, net, samples: (
            mean_loss(net, samples) + penalty(net, rule.weight_decay * rule.times)
        )
    return lambda rule, net, samples: mean_loss(net, samples)


@inner_kernel
def sum_squares(net: Any, team: Any) -> None:
    """Write a thread's share of the sums to `shape.squares`: units, then strips layer by layer."""
    first, width = net.layers[0], net.layers[0].strip_width
    place, count = net.shape.squares, net.shape.groups * first.strip_count
    units = share(team.thread, team.threads, count)
    for number in range(units[0], units[1]):
        unit = unit_of(net, number)
        begin, end = features_of(net, unit)
        row = first.W + unit.strip * first.W_size + begin * width
        squares_in_strip(net.form.first, width, net, row, (end - begin) * width, place + number)
    place += count
    for number in range(1, net.layers.size):
        layer = net.layers[number]
        strips = share(team.thread, team.threads, layer.strip_count)
        for s in range(strips[0], strips[1]):
            row, count = layer.W + s * layer.W_size, layer.W_size
            squares_in_strip(net.form.behind, layer.strip_width, net, row, count, place + s)
        place += layer.strip_count


@inner_kernel
def squares(zero: Any, net: Any, start: int, count: int, place: int) -> None:
    """Write the sum of the squares of `count` numbers, rows of a strip, to a place."""
    total = zero
    for begin in range(0, count, RUN * lanes(zero)):
        section = zero
        for n in range(begin, min(begin + RUN * lanes(zero), count), lanes(zero)):
            row = load(zero, net.memory, start + n)
            section = fma(row, row, section)
        total = add(total, section)
    net.memory[place] = sum_of_lanes(total)


squares_in_strip = in_strips(squares)


@inner_kernel
def penalty(net: Any, weight_decay: Any) -> Any:
    """``weight_decay / 2 * sum(W**2)`` from the sums of `sum_squares`."""
    count = net.shape.groups * net.layers[0].strip_count
    for number in range(1, net.layers.size):
        count += net.layers[number].strip_count
    total = np.float64(0)
    for n in range(count):
        total += net.memory[net.shape.squares + n]
    return net.memory.dtype.type(weight_decay / 2 * total)
