"""What a notebook shows of networks: a table or a picture, once, and no larger than need be."""

from __future__ import annotations

from typing import Any

import pytest

CELLS = {
    "network": "text/html",
    "network.summary()": "text/html",
    "fastnn.plot_weights(network)": "image/png",
    "history.plot()": "image/png",
}
BEFORE = """
import fastnn
fastnn.set_backend("numpy")
network = fastnn.TwoLayerNet(784, 50, 10, seed=0)
history = fastnn.fit(network, [[0.5] * 784] * 4, [0, 1, 2, 3], progress=False)
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the event loop and of sockets
def test_cells_that_end_in_a_network_or_a_picture() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in (BEFORE, *CELLS)]
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    first, *others = notebook.cells
    assert first.outputs == []
    for cell, kind in zip(others, CELLS.values(), strict=True):
        (output,) = cell.outputs
        data: dict[str, Any] = output.data
        assert kind in data, cell.source
        assert sum(map(len, data.values())) < 300_000, cell.source
        assert len(data["text/plain"].splitlines()) < 15
