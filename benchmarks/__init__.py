"""Figures that documents quote, each with the command that makes it."""
