"""Settings: QUIVER_* in the environment, and the names that others in the field use for the same things."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import Misconfigured, UnknownSetting

PREFIX = "QUIVER_"


class Settings(BaseSettings):
    """What can be set, each by QUIVER_ and its name in capitals unless another name is given."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, populate_by_name=True, extra="forbid", frozen=True)

    data: Path = Field(Path("quiver-data"), description="Folder of everything embedded: catalogue, blobs, index")
    profile: str = Field("packaged", description="Encoders of new collections")
    transcriber: str = Field(
        "",
        description="Model that hears words, for collections that read transcripts: folder, hub id or HUB_ID@REVISION",
    )
    tenant: str = Field("default", description="Tenant of the command line and of the embedded facade")
    collection: str = Field("default", description="Collection of the command line when none is named")
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("QUIVER_DATABASE_URL", "DATABASE_URL", "database_url"),
        description="Catalogue; without it SQLite in the data folder",
    )
    qdrant_url: str | None = Field(
        None,
        validation_alias=AliasChoices("QUIVER_QDRANT_URL", "QDRANT_URL", "qdrant_url"),
        description="Qdrant server; without it Qdrant Edge in the data folder",
    )
    qdrant_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("QUIVER_QDRANT_API_KEY", "QDRANT_API_KEY", "qdrant_api_key"),
        description="Key of the Qdrant server",
    )
    store: Literal["auto", "edge", "process"] = Field(
        "auto",
        description="Who holds the index: the running store process (process), this one (edge), or, in this order, the "
        "Qdrant server that is set, the store process if one runs, this one (auto)",
    )
    optimize_after: int = Field(
        20_000, ge=0, description="New points after which a store process optimizes an index; 0: never"
    )
    broker_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("QUIVER_BROKER_URL", "CELERY_BROKER_URL", "REDIS_URL", "broker_url"),
        description="Redis-protocol server of the Celery workers",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where models of the hub and of folders run; auto: the GPU that torch reaches, else here"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="What they compute with, where its vectors are those of float32 but for rounding (tried when a "
        "model loads); auto: what is fastest on this machine",
    )
    lanes: int = Field(0, ge=0, le=64, description="Indexing lanes of one torch thread each; 0: one a core")
    batch: int = Field(32, ge=1, le=1024, description="Assets a batch")
    lease_seconds: float = Field(600, gt=0, description="After this long a silent worker's assets are given to another")
    batch_bytes: int = Field(64 << 20, ge=1, description="Bytes of original files that a batch reads at most")
    decoded_bytes: int = Field(
        256 << 20, ge=1, description="Bytes of decoded content that a lane holds before it encodes them"
    )
    sweep_seconds: float = Field(15, gt=0, description="How often `quiver clock` looks for what was left behind")
    reconcile_seconds: float = Field(3600, gt=0, description="How often it compares catalogue and index")
    reconcile_repairs: bool = Field(True, description="Whether the clock's reconciliation repairs what it finds")
    stall_seconds: float = Field(120, gt=0, description="A worker idle this long while messages wait ends itself")
    host: str = Field("127.0.0.1", description="Address where `quiver serve` listens")
    port: int = Field(8080, ge=0, le=65535, description="Port where it listens; 0: any that is free")
    profiles: str = Field(
        "", description="Profiles that a request may name beside the default one, with commas between"
    )
    cross_encoder: str = Field(
        "packaged", description="The cross-encoder of searches that ask for one: packaged, a hub id or a folder"
    )
    cross_encoders: str = Field(
        "", description="Cross-encoders that a request may name beside that one, with commas between"
    )
    max_bulk_bytes: int = Field(1 << 30, ge=1, description="Largest body of a bulk request, in bytes")
    key_queries_per_second: float = Field(0, ge=0, description="Queries a second of an API key; 0: without limit")
    key_assets_per_day: int = Field(0, ge=0, description="Assets that an API key may add a day; 0: without limit")
    key_bytes_per_day: int = Field(0, ge=0, description="Bytes that an API key may send a day; 0: without limit")
    fetch_tenants: str = Field(
        "", description="Tenants whose requests may name an address to be fetched, with commas between; *: all"
    )
    fetch_hosts: str = Field(
        "", description="Hosts that may be fetched from, with commas between; none: any public one"
    )
    fetch_networks: str = Field(
        "", description="Networks that are not public and may be fetched from all the same, as 10.1.0.0/16, with commas"
    )
    fetch_seconds: float = Field(30, gt=0, description="Time that fetching one address may take")
    keep_days: float = Field(7, gt=0, description="Days after which finished bulk jobs are forgotten")
    record_queries: bool = Field(
        False, description="Whether a search is recorded, so that its answer can be judged, where it does not say so"
    )
    query_retention_days: float = Field(
        30, gt=0, description="Days after which recorded searches are forgotten, with the verdicts on their answers"
    )
    log_format: Literal["text", "json"] = Field("text", description="How services log: lines for people, or JSON lines")
    recall_every_seconds: float = Field(
        0, ge=0, description="Compare one search in so many seconds with an exact one, for the metrics; 0: none"
    )
    metrics_port: int = Field(0, ge=0, le=65535, description="Port where a worker answers Prometheus; 0: nowhere")
    max_waiting_seconds: float = Field(0, ge=0, description="Take nothing in while an asset waits longer; 0: always")
    max_attempts: int = Field(5, ge=1, le=100, description="Tries before an asset is left to a person")
    max_bytes: int = Field(256 << 20, ge=1, description="Largest file of any other kind, in bytes")
    max_media_bytes: int = Field(4 << 30, ge=1, description="Largest sound or film, in bytes")
    max_pixels: int = Field(100_000_000, ge=1, description="Largest image, in pixels")
    max_frames: int = Field(
        1_000, ge=1, description="Most frames taken of a film, or pages of a scan; more are thinned evenly"
    )
    max_seconds: int = Field(4 * 3600, ge=1, description="Longest sound or film, in seconds")
    max_text_chars: int = Field(2_000_000, ge=1, description="Longest text, in characters")
    max_metadata_bytes: int = Field(65_536, ge=1, description="Largest metadata of an asset, in bytes of JSON")
    max_segments: int = Field(4_000, ge=1, description="Most segments of an asset")
    decode: Literal["cage", "inline"] = Field(
        "cage", description="Where media are decoded: in child processes under limits (cage), or in this one (inline)"
    )
    decode_memory_bytes: int = Field(2 << 30, ge=1, description="Memory that decoding one file may take, in bytes")
    decode_cpu_seconds: int = Field(30, ge=1, description="Processor time that decoding one file may take")
    decode_seconds: float = Field(60, gt=0, description="Time that decoding one file may take")
    decode_recycle: int = Field(2_000, ge=1, description="Files after which a decoding process is replaced")

    @property
    def lease(self) -> timedelta:
        """`lease_seconds` as a duration."""
        return timedelta(seconds=self.lease_seconds)


def lane_count(settings: Settings) -> int:
    """Lanes, or threads of a worker: as set, or one a core that this process may use."""
    return settings.lanes or len(os.sched_getaffinity(0))


def load_settings(**said: Any) -> Settings:
    """Settings from the environment, overridden by what is said. Raises UnknownSetting, Misconfigured."""
    names = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    for name in os.environ:
        if name.startswith(PREFIX) and not name.startswith("QUIVER_TEST_") and name not in names:
            raise UnknownSetting(f"{name} is no setting; there is: {', '.join(sorted(names))}")
        if name in names and not os.environ[name].strip():
            raise Misconfigured(f"{name} is empty: unset it, or give it a value")
    for name in said:
        if name not in Settings.model_fields:
            raise UnknownSetting(f"{name} is no setting; there is: {', '.join(sorted(Settings.model_fields))}")
    try:
        return Settings(**{name: value for name, value in said.items() if value is not None})
    except ValidationError as exc:
        wrong = "; ".join(f"{_variable(str(e['loc'][0]))}: {e['msg']}" for e in exc.errors(include_input=False))
        raise Misconfigured(f"settings: {wrong}") from None  # the chained error would print secrets


def _variable(name: str) -> str:
    return f"{PREFIX}{name}".upper() if name in Settings.model_fields else name
