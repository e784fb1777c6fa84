"""The shared words (files) and the adapters to the world (folders)."""
