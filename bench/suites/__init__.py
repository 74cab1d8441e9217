"""pytest-benchmark suites; `pytest bench` finds them.

``pytest bench``
    lays the backends side by side, one group a thing that is measured. ``--benchmark-group-by=
    param:backend``, ``param:dtype``, ``param:workload`` group by another axis, ``-k`` chooses.
``pytest bench --benchmark-disable``
    is the quick mode: everything runs once, on less data, and nothing is timed. This is what CI
    runs, to see that every benchmark works.

A benchmark never fails on a time. Times are seconds of the wall clock, until the device is done;
on a GPU ``extra_info`` has CUDA's own time of the same call as ``cuda_seconds``.
"""
