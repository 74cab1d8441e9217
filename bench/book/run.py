"""Run a script of `examples/`, which are the book's, with the book's own network in fastnn's place.

python bench/book/run.py examples/gradient_check.py
"""

import runpy
import sys

from two_layer_net import TwoLayerNet

import fastnn

fastnn.TwoLayerNet = TwoLayerNet
runpy.run_path(sys.argv[1], run_name="__main__")
