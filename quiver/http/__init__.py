"""The HTTP door: FastAPI."""
