"""Searching by vectors and filters beside other libraries that run in the caller's process."""
