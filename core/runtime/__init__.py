"""Settings and wiring: the only place that chooses implementations."""
