"""What the first hour on a GPU is for, each part in a file and a process of its own.

A part is a function ``measure(extent, seconds)`` that yields names and what was found under them.
What was found before it failed, or its time was up, is kept.
"""
