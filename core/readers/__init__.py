"""Readers: the text inside things, one file a way of reading."""
