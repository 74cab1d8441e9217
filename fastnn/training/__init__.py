"""`fit`: mini-batches from a data set, through a step plan."""
