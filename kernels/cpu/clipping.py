"""Gradients that are cut to a norm of all of them together, before any parameter is changed.

With a rule that is `rules.Clipped` part 5 of a step stores gradients, behind the parameters and
their state. A thread sums the squares of those that it has stored, a unit of the first layer at a
time, a tile of any other, a strip of b, gamma or beta. Then all meet once more, each thread adds up
all these sums in their order, and updates what it has stored gradients of. The order depends on
shapes alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastnn.kernels.cpu.barrier import meet
from fastnn.kernels.cpu.compiler import chosen_by_type, inline_kernel, inner_kernel
from fastnn.kernels.cpu.dense import ROWS
from fastnn.kernels.cpu.net import columns_of, features_of, share, unit_of
from fastnn.kernels.cpu.penalty import squares, squares_in_strip
from fastnn.kernels.cpu.rules import PENALTIES, Clipped, apply, of_biases, stored_at
from fastnn.kernels.cpu.strips import in_strips, narrow
from fastnn.kernels.cpu.update_in_strips import copy_transposed
from fastnn.kernels.cpu.vector import lanes, largest, magnitude, multiply, splat
from fastnn.kernels.cpu.vector_lanes import largest_lane
from fastnn.kernels.cpu.vector_memory import load
from numba import types

Array = Any


def clip_and_update(rule: Any, net: Any, team: Any, early: bool, norms: Array) -> Any:
    """Update a thread's parameters, if the rule clips; False if not all threads have met.

    `norms` has a bound on the weights of each unit, which is set anew; it may be empty.
    """


@chosen_by_type(clip_and_update)
def _clip_and_update(rule: Any, net: Any, team: Any, early: Any, norms: Any) -> Any:
    if rule.instance_class is Clipped:
        return lambda rule, net, team, early, norms: update_clipped(net, team, rule, early, norms)
    if rule.instance_class in PENALTIES:
        return lambda rule, net, team, early, norms: clip_and_update(
            rule.rule, net, team, early, norms
        )
    return lambda rule, net, team, early, norms: True


@inner_kernel
def update_clipped(net: Any, team: Any, rule: Any, early: bool, norms: Array) -> bool:
    """Do `clip_and_update` for a rule that is `Clipped`."""
    behind = stored_at(rule) * net.shape.parameters
    sum_squares_of_gradients(net, team, behind, early)
    if not meet(team.barrier, team.threads, team.give_way):
        return False
    factor = clip_factor(net, rule.clip_norm, rule.clip_epsilon, behind)
    first, width = net.layers[0], net.layers[0].strip_width
    units = share(team.thread, team.threads, net.shape.groups * first.strip_count)
    for number in range(units[0], units[1]):
        rows = _rows_of_unit(net, number)
        most = update_rows_in_strip(net.form.first, width, net, rows, behind, factor, rule.rule)
        if norms.size:
            norms[number] = most
    for number in range(1, net.layers.size):
        tiles, width = _tiles_of(net, team, number, early), net.layers[number - 1].strip_width
        update_tiles_in_strips(
            net.form.before, width, net, number, tiles, behind, factor, rule.rule
        )
    for number in range(net.layers.size):
        strips, width = _strips_of(net, team, number), net.layers[number].strip_width
        for kind in range(vector_count(net.normalisations, number)):
            place = vector_of(net.normalisations, net, number, kind)
            rows = (place + strips[0] * width, place + strips[1] * width)
            update_rows(narrow(net.memory), net, rows, behind, factor, of_biases(rule.rule))
    return True


@inner_kernel
def sum_squares_of_gradients(net: Any, team: Any, behind: int, early: bool) -> None:
    """Write the sums of those gradients that a thread has stored, so far behind the parameters."""
    place, first = net.shape.gradient_squares, net.layers[0]
    count = net.shape.groups * first.strip_count
    units = share(team.thread, team.threads, count)
    for number in range(units[0], units[1]):
        rows, width = _rows_of_unit(net, number), first.strip_width
        start, size = rows[0] + behind, rows[1] - rows[0]
        squares_in_strip(net.form.first, width, net, start, size, place + number)
    place += count
    for number in range(1, net.layers.size):
        tiles, width = _tiles_of(net, team, number, early), net.layers[number - 1].strip_width
        for tile in range(tiles[0], tiles[1]):
            start = net.layers[number].WT + tile * ROWS * width + behind
            squares_in_strip(net.form.before, width, net, start, ROWS * width, place + tile)
        place += tile_count(net, number)
    for number in range(net.layers.size):
        strips, width = _strips_of(net, team, number), net.layers[number].strip_width
        for kind in range(vector_count(net.normalisations, number)):
            vector = vector_of(net.normalisations, net, number, kind)
            for s in range(strips[0], strips[1]):
                start = vector + s * width + behind
                squares(narrow(net.memory), net, start, width, place + s)
            place += net.layers[number].strip_count


@inner_kernel
def clip_factor(net: Any, clip_norm: Any, epsilon: Any, behind: int) -> Any:
    """``min(1, clip_norm / (norm + epsilon))``, from all sums of squares; NaN if one is."""
    count = net.shape.groups * net.layers[0].strip_count
    for number in range(net.layers.size):
        count += vector_count(net.normalisations, number) * net.layers[number].strip_count
    for number in range(1, net.layers.size):
        count += tile_count(net, number)
    total = np.float64(0)
    for n in range(count):
        total += net.memory[net.shape.gradient_squares + n]
    if total == np.inf:  # in float32 a square may be, where the norm is not
        total = np.float64(0)
        for n in range(net.shape.parameters):
            gradient = np.float64(net.memory[behind + n])
            total += gradient * gradient
    factor = np.float64(clip_norm) / (np.sqrt(total) + np.float64(epsilon))
    return net.memory.dtype.type(1.0 if factor > 1 else factor)


@inner_kernel
def update_rows(zero: Any, net: Any, rows: Any, behind: int, factor: Any, rule: Any) -> float:
    """Update a range of parameters, rows of a strip, from their gradients.

    Gives the largest magnitude among them; infinity if one is not finite.
    """
    most = zero
    for place in range(rows[0], rows[1], lanes(zero)):
        gradient = multiply(splat(zero, factor), load(zero, net.memory, place + behind))
        most = largest(most, magnitude(apply(rule, net, place, gradient)))
    found = float(largest_lane(most))
    return found if found < np.inf else np.inf


@inner_kernel
def update_tiles(
    zero: Any, net: Any, number: int, tiles: Any, behind: int, factor: Any, rule: Any
) -> None:
    """Update W of a layer behind the first one, in both its forms, for a range of tiles."""
    memory, layer, before = net.memory, net.layers[number], net.layers[number - 1]
    strip, width = layer.strip_width, before.strip_width
    count = layer.strip_count * strip // ROWS
    for tile in range(tiles[0], tiles[1]):
        part, output = tile // count, tile % count * ROWS
        if output >= layer.outputs:
            continue
        source = layer.WT + tile * ROWS * width
        update_rows(zero, net, (source, source + ROWS * width), behind, factor, rule)
        target = layer.W + output // strip * layer.W_size + part * width * strip + output % strip
        shape = (min(ROWS, layer.outputs - output), columns_of(before, part))
        copy_transposed(memory, source, width, target, strip, shape)


update_rows_in_strip = in_strips(update_rows)
update_tiles_in_strips = in_strips(update_tiles)


def vector_count(normalisations: Any, number: int) -> Any:
    """How many parameters of a layer are vectors: b, and gamma and beta if it is normalised."""


def vector_of(normalisations: Any, net: Any, number: int, kind: int) -> Any:
    """Where one of these begins."""


@chosen_by_type(vector_count)
def _vector_count(normalisations: Any, number: Any) -> Any:
    if isinstance(normalisations, types.NoneType):
        return lambda normalisations, number: 1
    return lambda normalisations, number: 1 + 2 * normalisations[number].is_there


@chosen_by_type(vector_of)
def _vector_of(normalisations: Any, net: Any, number: Any, kind: Any) -> Any:
    if isinstance(normalisations, types.NoneType):
        return lambda normalisations, net, number, kind: net.layers[number].b

    def choose(normalisations: Any, net: Any, number: int, kind: int) -> Any:
        own = normalisations[number]
        return net.layers[number].b if kind == 0 else own.gamma if kind == 1 else own.beta

    return choose


@inline_kernel
def _strips_of(net: Any, team: Any, number: int) -> Any:
    """The strips of a layer of whose vectors a thread takes care, the first and the end."""
    return share(team.thread, team.threads, net.layers[number].strip_count)


@inline_kernel
def tile_count(net: Any, number: int) -> Any:
    """How many tiles there are of the transposed weights of a layer: see `update_weights`."""
    layer = net.layers[number]
    return net.layers[number - 1].strip_count * (layer.strip_count * layer.strip_width // ROWS)


@inline_kernel
def _tiles_of(net: Any, team: Any, number: int, early: bool) -> Any:
    """The tiles of a layer whose gradients a thread has stored, the first and the end."""
    count, strips = tile_count(net, number), net.layers[number - 1].strip_count
    if number == 1 and not early:  # `step.gradient_of_strip` did it, strip by strip
        own = share(team.thread, team.threads, strips)
        return own[0] * (count // strips), own[1] * (count // strips)
    return share(team.thread, team.threads, count)


@inline_kernel
def _rows_of_unit(net: Any, number: int) -> Any:
    """Where the weights of a unit of the first layer begin and end."""
    layer, unit = net.layers[0], unit_of(net, number)
    begin, end = features_of(net, unit)
    strip = layer.W + unit.strip * layer.W_size
    return strip + begin * layer.strip_width, strip + end * layer.strip_width
