"""Training steps on a data set without its zeros; see `fastnn.kernels.cpu.step` for the order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from fastnn.kernels.cpu.barrier import meet, pass_request_on, stopping
from fastnn.kernels.cpu.by_feature import sort_blocks, update_strip
from fastnn.kernels.cpu.clipping import clip_and_update
from fastnn.kernels.cpu.compiler import chosen_by_type, kernel
from fastnn.kernels.cpu.compressed import Located, locate
from fastnn.kernels.cpu.dropout_in_strips import count_draws
from fastnn.kernels.cpu.net import share, unit_of
from fastnn.kernels.cpu.penalty import whole_loss
from fastnn.kernels.cpu.rules import rule_at, sees_all
from fastnn.kernels.cpu.sparse import forward_sparse, update_unit, update_unit_with_zeros
from fastnn.kernels.cpu.step import (
    back_at_once,
    gradient_of_strip,
    hand_over_unit,
    largest_peak,
    middle,
    sums_of_update,
    update_rest,
)
from fastnn.kernels.cpu.step_normalised import normalise_strip
from fastnn.kernels.cpu.strips import strip_of_zeros
from fastnn.kernels.cpu.sums import SECTION
from fastnn.kernels.cpu.update_in_strips import update_hidden
from numba import types

Array = Any


class Workspace(NamedTuple):
    """What a thread needs besides the network.

    norms : (units,)
        For each unit a bound on the magnitude of its weights; shared by all threads.
    room : Sorted or None
        Shared, too. None where the update goes sample by sample.
    bounds : (2, batch * (groups * blocks + 1))
        This thread's own, for where the samples of this batch and of the next one are.
    """

    norms: Array
    room: Any
    bounds: Array


@kernel
def train(width: Any, net: Any, team: Any, data: Any, workspace: Any, run: Any) -> Any:
    """Take the steps of a run; give how many were taken.

    width : Wide or Narrow
        Of the first layer's strips.
    net : Net
    team : Team
    data : Compressed
    workspace : Workspace
    run : Run
    """
    norms, room, shape = workspace.norms, workspace.room, net.shape
    units = share(team.thread, team.threads, shape.groups * net.layers[0].strip_count)
    early = back_at_once(net)
    samples = run.rows.shape[1]
    expanded = shape.expanded + team.thread * shape.features
    zero = strip_of_zeros(net.memory, width)
    limit = np.finfo(net.memory.dtype).max / 4
    for step in range(run.rows.shape[0]):
        rule = rule_at(run.rule, run.numbers, step)
        batch = run.rows[step]
        turn, next_turn = step % 2, (step + 1) % 2
        here = Located(workspace.bounds[turn], samples)
        if step == 0:
            locate(data, batch, shape.groups * shape.blocks, here.bounds)
        following = workspace.bounds[next_turn, :0]
        if step + 1 < run.rows.shape[0]:
            following = workspace.bounds[next_turn]
            locate(data, run.rows[step + 1], shape.groups * shape.blocks, following)
        for number in range(units[0], units[1]):
            is_first = unit_of(net, number).strip == 0 or number == units[0]
            fetched = following if is_first else following[:0]
            forward_sparse(zero, net, data, here, number, norms, fetched, expanded)
            normalise_strip(net.normalisations, net, unit_of(net, number).strip, samples)
        sort_into(room, net, team, data, here, turn)
        if not meet(team.barrier, team.threads, team.give_way):
            return step
        if team.thread == 0:
            pass_request_on(team.barrier)
        if not middle(net, team, run, batch, rule, early):
            return step
        if not meet(team.barrier, team.threads, team.give_way):
            return step
        if team.thread == 0:
            run.losses[step] = whole_loss(rule, net, samples)
            count_draws(net.dropout)
        peak = largest_peak(net, team.threads)
        if early:
            update_rest(net, team, samples, rule)
        else:
            update_hidden(net, team, np.int64(2), samples, rule)
        for number in range(units[0], units[1]):
            unit = unit_of(net, number)
            if not early:
                peak = gradient_of_strip(net.form.inputs, net, unit.strip, samples, rule)
            reach = samples * data.largest * np.float64(peak)
            finite = reach < limit
            bound = norms[number] + reach if finite else np.inf
            sums = sums_of_update(net, team, unit.strip, samples, rule)
            for begin in range(0, samples, SECTION):
                section = (begin, min(begin + SECTION, samples))
                if finite:
                    update_from(room, zero, net, data, here, turn, unit, section, sums)
                else:
                    update_unit_with_zeros(zero, net, data, here, unit, section, sums, expanded)
            most = hand_over_unit(zero, net, unit, sums, rule)
            norms[number] = most if sees_all(rule) else bound
        if not clip_and_update(rule, net, team, early, norms):
            return step
        if stopping(team.barrier):
            return step + 1
    return run.rows.shape[0]


def sort_into(room: Any, net: Any, team: Any, data: Any, here: Any, turn: int) -> None:
    """Sort a thread's share of a batch by features, if there is room for that."""


def update_from(
    room: Any, zero: Any, net: Any, data: Any, here: Any, turn: int, unit: Any, section: Any,
    sums: Any,
) -> None:  # fmt: skip
    """Add a section's ``x.T @ scaled_dout`` to the sums, by features if the batch is sorted."""


@chosen_by_type(sort_into)
def _sort_into(room: Any, net: Any, team: Any, data: Any, here: Any, turn: Any) -> Any:
    if isinstance(room, types.NoneType):
        return lambda room, net, team, data, here, turn: None

    def choose(room: Any, net: Any, team: Any, data: Any, here: Any, turn: Any) -> None:
        blocks = share(team.thread, team.threads, net.shape.blocks)
        if blocks[0] < blocks[1]:
            sort_blocks(net, data, here, blocks, room, turn)

    return choose


@chosen_by_type(update_from)
def _update_from(
    room: Any, zero: Any, net: Any, data: Any, here: Any, turn: Any, unit: Any, section: Any,
    sums: Any,
) -> Any:  # fmt: skip
    def by_sample(
        room: Any, zero: Any, net: Any, data: Any, here: Any, turn: Any, unit: Any, section: Any,
        sums: Any,
    ) -> None:  # fmt: skip
        update_unit(zero, net, data, here, unit, section, sums)

    def by_feature(
        room: Any, zero: Any, net: Any, data: Any, here: Any, turn: Any, unit: Any, section: Any,
        sums: Any,
    ) -> None:  # fmt: skip
        update_strip(zero, net, room, turn, section, unit.strip, sums)

    return by_sample if isinstance(room, types.NoneType) else by_feature
