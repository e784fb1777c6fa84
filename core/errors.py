"""Faults, by who must act.

Fault                     the message defaults to the docstring; `retryable` tells a caller whether to try again
├── Refused               the caller's: never retried
│   ├── NoSuchPath  EmptyMedia  UnsupportedMedia  CorruptMedia  TooLarge
│   ├── OutOfMemory  TimedOut  DecoderCrashed
│   ├── BadManifest  BadMetadata  BadFilter  BadField  BadQuery
│   ├── NoSuchCollection  NoSuchAsset  NoSuchJob  NoSuchKey  NoSuchQuery  NoSpaceFor
│   ├── NoSuchErasure
│   ├── Unauthorized  Forbidden  ForbiddenAddress  RemoteFailed
│   └── Conflict
├── Unavailable           the world's: retried
│   ├── CatalogueDown  StoreDown  StoreLocked  BlobsDown  BrokerDown  ServerDown
│   └── Overloaded  QuotaExceeded  InProgress  DecoderDown
├── Misconfigured         the operator's: the process does not start
│   ├── MissingExtra  UnknownSetting  UnknownProfile  BadModel  ModelMismatch  SchemaOutdated
│   └── CatalogueBroken
└── Defect                ours: never retried
    └── EncoderBroke  ReaderBroke  RerankerBroke  BadPoint  IndexDrifted
"""

from __future__ import annotations


class Fault(Exception):
    """Something went wrong."""

    retryable = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def kind(self) -> str:
        """The name of the class: stable, and what lists of failures group by."""
        return type(self).__name__


class Refused(Fault):
    """The request cannot be served as it stands."""


class NoSuchPath(Refused):
    """There is no file or folder at that path."""


class EmptyMedia(Refused):
    """The file is empty: there is nothing to index."""


class UnsupportedMedia(Refused):
    """No decoder knows this kind of file."""


class CorruptMedia(Refused):
    """The file is damaged: repair it or ingest another copy."""


class TooLarge(Refused):
    """The input is over a limit: raise the limit in the settings or make the input smaller."""


class OutOfMemory(Refused):
    """Decoding the file takes more memory than it may: make it smaller or raise QUIVER_DECODE_MEMORY_BYTES."""


class TimedOut(Refused):
    """Decoding the file takes longer than it may: repair it, make it smaller or raise the limit in the settings."""


class DecoderCrashed(Refused):
    """The file brings its decoder down: repair it or ingest another copy."""


class BadManifest(Refused):
    """A line of the manifest cannot be read."""


class BadMetadata(Refused):
    """A metadata value does not have the type its field was declared with."""


class BadField(Refused):
    """A field declaration cannot be read: write name=type."""


class BadFilter(Refused):
    """The filter names an undeclared field or compares with the wrong type."""


class BadQuery(Refused):
    """The query is empty, contradictory or out of bounds."""


class NoSuchCollection(Refused):
    """There is no collection of that name: create it by ingesting into it."""


class NoSuchAsset(Refused):
    """There is no asset of that id in this collection."""


class NoSuchJob(Refused):
    """There is no bulk job of that id."""


class NoSuchKey(Refused):
    """There is no API key of that id."""


class NoSuchQuery(Refused):
    """There is no recorded search of that id in this collection: search with record=true, and use the answer's id."""


class Unauthorized(Refused):
    """An API key is needed: send `Authorization: Bearer KEY`."""


class Forbidden(Refused):
    """The API key has no role that allows this."""


class ForbiddenAddress(Refused):
    """That address may not be fetched."""


class RemoteFailed(Refused):
    """The address did not give the file: check it, or send the bytes."""


class NoSuchErasure(Refused):
    """There is no receipt of that number."""


class NoSpaceFor(Refused):
    """No embedding space of this collection can embed that kind of content."""


class Conflict(Refused):
    """Something of that name exists already and differs."""


class Unavailable(Fault):
    """A part that is needed does not answer: try again."""

    retryable = True
    retry_after = 0.0  # seconds; 0: not known


class CatalogueDown(Unavailable):
    """The catalogue database does not answer."""


class StoreDown(Unavailable):
    """The vector store does not answer."""


class StoreLocked(Unavailable):
    """Another process holds this data folder: stop it, or use another folder."""


class BlobsDown(Unavailable):
    """The blob store cannot be read or written."""


class BrokerDown(Unavailable):
    """The message broker does not answer."""


class DecoderDown(Unavailable):
    """The process that decodes files cannot be started."""


class ServerDown(Unavailable):
    """The Quiver server does not answer."""


class Overloaded(Unavailable):
    """More is waiting than can be indexed in time: send it again later."""


class InProgress(Unavailable):
    """The same request is still being worked on: send it again in a moment."""


class QuotaExceeded(Unavailable):
    """The API key has used up what it may for now: send it again later."""


class Misconfigured(Fault):
    """The installation or its settings are wrong: correct them and start again."""


class MissingExtra(Misconfigured):
    """A package that this feature needs is not installed."""


class UnknownSetting(Misconfigured):
    """A setting of that name does not exist."""


class UnknownProfile(Misconfigured):
    """There is no profile of that name."""


class BadModel(Misconfigured):
    """The model folder cannot be loaded."""


class ModelMismatch(Misconfigured):
    """The index was written by another model than the one that asks."""


class SchemaOutdated(Misconfigured):
    """The catalogue's tables are not at the newest migration: run `quiver migrate`."""


class CatalogueBroken(Misconfigured):
    """The catalogue's database is damaged: restore a copy of it."""


class Defect(Fault):
    """A promise inside Quiver was broken: please report this."""


class EncoderBroke(Defect):
    """An encoder returned vectors of the wrong shape, or ones that are not finite or not of unit length."""


class ReaderBroke(Defect):
    """A model that reads the text in pictures or sound failed."""


class RerankerBroke(Defect):
    """A stage of a search failed, or made of its hits what no stage may."""


class BadPoint(Defect):
    """A point is malformed and was not written."""


class IndexDrifted(Defect):
    """The index and the catalogue disagree."""
