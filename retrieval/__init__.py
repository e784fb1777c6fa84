"""Queries to hits. Knows no bytes."""
