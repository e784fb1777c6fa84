"""Encoders: one file a family of models."""
