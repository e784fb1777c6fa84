"""Data of the packaged encoders, written by scripts/derive_labels.py; a package, so that wheels carry it."""
