"""Whether a network is right, and what is fast here."""
