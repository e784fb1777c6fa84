"""Bytes to segments. Knows no vectors."""
