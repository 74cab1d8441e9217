"""What is written of a training while it runs: a table, and TensorBoard's curves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import Checkpoint, CSVLogger, History, TensorBoard, fit
from tests.helpers.networks import small
from tests.helpers.problems import Batch

pytestmark = pytest.mark.usefixtures("on_numpy")


def run(data: Batch, callbacks: list[Any], **options: Any) -> History:
    how: dict[str, Any] = {
        "epochs": 3, "batch_size": 10, "seed": 1, "progress": False,
        "validation": (data.x, data.t), **options,
    }  # fmt: skip
    return fit(small(), data.x, data.t, callbacks=callbacks, **how)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table(data: Batch, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    lines: list[int] = []
    history = run(data, [CSVLogger(path), lambda *_: lines.append(len(rows(path)))])
    assert lines == [0, 1, 2]  # each is there when the next epoch begins
    found = rows(path)
    assert [row["epoch"] for row in found] == ["1", "2", "3"]
    columns = history.by_epoch()
    assert list(found[0]) == ["epoch", *columns]
    for name, values in columns.items():
        assert [float(row[name]) for row in found] == values
    assert columns["loss"][1] == pytest.approx(np.mean(history.losses[6:12]))
    run(data, [CSVLogger(path)], epochs=1, validation=None)
    assert list(rows(path)[0]) == ["epoch", "loss", "seconds"]
    with pytest.raises(FileNotFoundError):
        run(data, [CSVLogger(tmp_path / "none" / "log.csv")])


def test_a_table_goes_on(data: Batch, tmp_path: Path) -> None:
    """Also where a line was written of an epoch that no checkpoint holds."""
    path, table = tmp_path / "training", tmp_path / "log.csv"
    run(data, [Checkpoint(path)], epochs=1)
    history = run(data, [CSVLogger(table)])
    resumed = run(data, [CSVLogger(table)], resume=path)
    assert [float(row["loss"]) for row in rows(table)] == history.by_epoch()["loss"]
    assert resumed.losses == history.losses


def scalars(directory: Path) -> dict[str, dict[int, float]]:
    """Read the files of TensorBoard as it does: an event that says so ends what is of later."""
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c

    found: dict[str, dict[int, float]] = {}
    for file in sorted(directory.glob("events*")):
        content, at = file.read_bytes(), 0
        while at < len(content):
            size = int.from_bytes(content[at : at + 8], "little")
            record = content[at + 12 : at + 12 + size]
            crc = int.from_bytes(content[at + 12 + size : at + 16 + size], "little")
            assert crc == masked_crc32c(record)
            at += 16 + size
            event = event_pb2.Event.FromString(record)
            if event.session_log.status == event_pb2.SessionLog.START and event.step:
                for name in found:
                    found[name] = {s: v for s, v in found[name].items() if s < event.step}
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_curves_of_tensorboard(data: Batch, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    history = run(data, [TensorBoard(tmp_path / "run", steps=4)])
    found = scalars(tmp_path / "run")
    assert found["epoch/loss"] == pytest.approx(
        dict(zip([6, 12, 18], history.by_epoch()["loss"], strict=True))
    )
    assert list(found["epoch/validation_accuracy"].values()) == pytest.approx(
        history.validation_accuracies
    )
    assert found["step/loss"] == pytest.approx(
        {step: history.losses[step - 1] for step in (4, 8, 12, 16)}
    )
    assert min(found["epoch/samples_per_second"].values()) > 0
    run(data, [TensorBoard(tmp_path / "epochs", steps=None)])
    assert "step/loss" not in scalars(tmp_path / "epochs")


def test_curves_go_on(data: Batch, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    path, directory = tmp_path / "training", tmp_path / "run"
    run(data, [Checkpoint(path), TensorBoard(directory)], epochs=2)
    history = run(data, [TensorBoard(directory)], resume=path, epochs=4)
    assert scalars(directory)["epoch/loss"] == pytest.approx(
        dict(zip([6, 12, 18, 24], history.by_epoch()["loss"], strict=True))
    )
