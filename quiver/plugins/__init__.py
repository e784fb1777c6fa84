"""Quiver inside what people use: one module a framework, each behind an extra of its name."""
