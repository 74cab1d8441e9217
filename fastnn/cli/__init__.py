"""The command `fastnn`."""
