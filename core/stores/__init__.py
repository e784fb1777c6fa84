"""Vector stores: one file an engine."""
