"""Quiver and others like it, side by side: the same weights, the same files, one run."""
