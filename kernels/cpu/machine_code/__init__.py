"""Machine code on disk, so that a process need not compile what another has compiled before.

`places` says in which directory, `files` how a file is written and checked, `locks` how processes
that start together share the work, `cache` is what Numba asks, `symbols` how kernels find those
that they call, and `compiling` tells the user that kernels are compiled, and how long that took.
"""

from fastnn.kernels.cpu.machine_code.cache import keep_machine_code
from fastnn.kernels.cpu.machine_code.files import Store
from fastnn.kernels.cpu.machine_code.places import cache_directory, filled_directories

__all__ = ["Store", "cache_directory", "filled_directories", "keep_machine_code"]
