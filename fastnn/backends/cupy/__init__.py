"""CuPy: an NVIDIA GPU."""
