"""Decoders: bytes to segments, one file a modality."""
