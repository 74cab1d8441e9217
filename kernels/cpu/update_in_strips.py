"""The update of the layers behind the first one, and of every bias.

Both forms of the weights are updated. A thread takes a share of the units of a layer; a unit is a
strip of inputs by a tile of outputs.
"""

from __future__ import annotations

from typing import Any

from fastnn.kernels.cpu.compiler import inline_kernel, inner_kernel
from fastnn.kernels.cpu.dense import ROWS, Left, Right, multiply_samples
from fastnn.kernels.cpu.net import columns_of, row_of, share
from fastnn.kernels.cpu.rules import apply_to_bias, apply_to_tile, apply_whole_to_bias
from fastnn.kernels.cpu.strips import in_tiles, narrow_tile
from fastnn.kernels.cpu.sums import RUN
from fastnn.kernels.cpu.vector import add, lanes
from fastnn.kernels.cpu.vector_memory import at, load, store_transposed


@inner_kernel
def update_hidden(net: Any, team: Any, start: int, samples: int, rule: Any) -> None:
    """Update a thread's share of every layer from `start` on, and of every bias but the first."""
    for number in range(start, net.layers.size):
        layer, before = net.layers[number], net.layers[number - 1]
        tiles = layer.strip_count * layer.strip_width // ROWS
        units = share(team.thread, team.threads, before.strip_count * tiles)
        width = before.strip_width
        update_weights_in_tiles(net.form.before, width, net, number, units, samples, rule)
    for number in range(1, net.layers.size):
        strips = share(team.thread, team.threads, net.layers[number].strip_count)
        update_bias(narrow_tile(net.memory), net, number, strips, samples, rule)


@inner_kernel
def update_weights(zero: Any, net: Any, number: int, units: Any, samples: int, rule: Any) -> None:
    """Update W from ``before.out.T @ layer.dout``, in both its forms, for a range of units.

    A tile may reach into the padding, which stays zero.
    """
    memory, layer, before = net.memory, net.layers[number], net.layers[number - 1]
    strip, width = layer.strip_width, before.strip_width
    tiles = layer.strip_count * strip // ROWS
    for unit in range(units[0], units[1]):
        part, output = unit // tiles, unit % tiles * ROWS
        if output >= layer.outputs:
            continue
        s, column = output // strip, output % strip
        dout = Left(memory, row_of(net, layer.dout, layer, s, 0) + column, 1, strip)
        weights = layer.W + s * layer.W_size + part * width * strip + column
        for start in range(0, columns_of(before, part), lanes(zero)):
            x = Right(memory, row_of(net, before.out, before, part, 0) + start, width)
            tile = multiply_samples(zero, dout, x, samples)
            place = layer.WT + part * layer.WT_size + output * width + start
            t0, t1, t2, t3 = apply_to_tile(rule, net, place, width, tile)
            store_transposed(memory, weights + start * strip, strip, t0, t1, t2, t3)


@inline_kernel
def copy_transposed(memory: Any, source: int, row: int, target: int, line: int, shape: Any) -> None:
    """Copy a tile whose rows are `row` numbers apart to columns; there lines are so far apart."""
    for lane in range(shape[1]):
        for r in range(shape[0]):
            memory[target + lane * line + r] = at(memory, source + r * row + lane)


@inner_kernel
def update_bias(zero: Any, net: Any, number: int, strips: Any, samples: int, rule: Any) -> None:
    """Update b from the sum of dout, for a range of strips of a layer."""
    memory, layer = net.memory, net.layers[number]
    strip = layer.strip_width
    for s in range(strips[0], strips[1]):
        for column in range(0, strip, lanes(zero)):
            total, dout = zero, row_of(net, layer.dout, layer, s, 0) + column
            for begin in range(0, samples, RUN):
                section = zero
                for n in range(begin, min(begin + RUN, samples)):
                    section = add(section, load(zero, memory, dout + n * strip))
                total = add(total, section)
            place = layer.b + s * strip + column
            if number == 0:
                apply_whole_to_bias(rule, net, place, total)
            else:
                apply_to_bias(rule, net, place, total)


update_weights_in_tiles = in_tiles(update_weights)
