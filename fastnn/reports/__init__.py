"""Pictures and pages of what a network has learned, and of where it is wrong."""

from fastnn.reports.weights import plot_weights

__all__ = ["plot_weights"]
