"""Quiver: multimodal ingestion and vector search for Qdrant, with a catalogue that provably agrees with the index."""

from core.errors import Fault, Misconfigured, Refused, Unavailable
from quiver.facade import Quiver
from quiver.reports import AssetView, CollectionStatus, IngestReport, Progress, Removed
from retrieval.request import Answer, Hit, Match

__version__ = "0.1.0"
__all__ = [
    "Answer",
    "AssetView",
    "CollectionStatus",
    "Fault",
    "Hit",
    "IngestReport",
    "Match",
    "Misconfigured",
    "Progress",
    "Quiver",
    "Refused",
    "Removed",
    "Unavailable",
]
