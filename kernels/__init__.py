"""What only the author of a kernel opens: compiled code underneath the backends."""
