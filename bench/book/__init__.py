"""The book's own code, which everything else is compared with."""
