"""Quiver: multimodal ingestion and vector search for Qdrant."""
