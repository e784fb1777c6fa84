"""One module a side; each runs in an environment of its own."""
