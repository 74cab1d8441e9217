"""Numba: compiled kernels on the CPU."""
