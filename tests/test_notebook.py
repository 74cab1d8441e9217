"""A notebook, executed as its readers do, with and without ipywidgets: what its cells show."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest

CELLS = [
    "import numpy as np, fastnn\n"
    "fastnn.set_backend('numpy')\n"
    "draw = np.random.default_rng(0)\n"
    "x, t = draw.random((2000, 20), 'float32'), draw.integers(0, 4, 2000)\n"
    "network = fastnn.TwoLayerNet(20, 10, 4, 0.1, seed=0)",
    "fastnn.fit(network, x, t, epochs=30, batch_size=20, validation=(x[:100], t[:100]), seed=0)",
    "history = _\nhistory.plot()",
    "history.to_frame().tail(2)",
    "network",
    "fastnn.explain(network)",
]
STRICT = """import warnings
warnings.simplefilter("error")
# As pyproject.toml has it: matplotlib 3.9 calls newer pyparsing by old names.
warnings.filterwarnings("ignore", ".*deprecated", DeprecationWarning, "(matplotlib|pyparsing)")
"""
TRAINED, PLOTTED, TABLE, SHOWN, EXPLAINED = 1, 2, 3, 4, 5


PROGRAM = """
    import json, nbclient, nbformat, sys, warnings
    warnings.simplefilter("ignore")  # of those packages' own
    cells = [nbformat.v4.new_code_cell(text) for text in json.load(sys.stdin)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    print(json.dumps([cell.outputs for cell in notebook.cells]))
"""


def executed(first: str) -> list[list[dict[str, Any]]]:
    """Give the outputs of each of `CELLS`, in a kernel of this Python that runs `first` before."""
    for package in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(package)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        input=json.dumps([first, *CELLS]), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outputs: list[list[dict[str, Any]]] = json.loads(done.stdout)[1:]
    return outputs


@pytest.mark.parametrize("widgets", [True, False])
def test_what_the_cells_show(widgets: bool) -> None:
    hidden = "import sys; sys.modules['ipywidgets'] = None; "
    outputs = executed(("" if widgets else hidden) + STRICT)
    for shown in outputs:
        assert [one for one in shown if one["output_type"] in ("stream", "error")] == []
    assert outputs[0] == []
    line, result = outputs[TRAINED]
    text = line["data"]["text/plain"]
    assert text.startswith("epoch 30/30, 3000/3000 steps, loss ")
    assert "accuracy" in text
    assert text.endswith(" samples/s")
    assert "\n" not in text
    assert '<progress value="3000" max="3000">' in line["data"]["text/html"]
    assert result["data"]["text/plain"].startswith("<History: 30 epochs, 3,000 steps")
    assert '<td style="text-align: left">validation_accuracy</td>' in result["data"]["text/html"]
    assert len(str(result["data"])) < 2_500
    assert len(outputs[PLOTTED][0]["data"]["image/png"]) > 5_000
    assert "validation_accuracy" in outputs[TABLE][0]["data"]["text/html"]
    assert len(outputs[SHOWN][0]["data"]["text/plain"].splitlines()) < 20
    assert outputs[EXPLAINED][0]["data"]["text/plain"].startswith("numpy: loop\n")
    assert "<th" in outputs[EXPLAINED][0]["data"]["text/html"]
