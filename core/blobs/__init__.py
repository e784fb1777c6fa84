"""Bytes by digest."""
