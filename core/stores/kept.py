"""How dense vectors are kept and looked at (`core.records.Storage`), in the words of Qdrant Edge and of the server."""

from __future__ import annotations

from typing import Any

import qdrant_edge as e
from qdrant_client import models as m

from core.points import EF, Nearest
from core.records import Quantization, Storage
from core.spaces import EmbeddingSpace, Metric

# How many times more points are compared by their codes than are wanted, and then in full (docs/benchmarks.md).
OVERSAMPLING = {Quantization.SCALAR: 2.0, Quantization.TURBO: 2.0, Quantization.BINARY: 8.0}
SCAN_KB = 10_000  # of vectors that a filter leaves: fewer are compared one by one, which is the engine's own choice
QUANTILE = 0.99  # of a vector's numbers that 8 bits span; what lies outside is clipped

_EDGE_DISTANCE = {Metric.COSINE: e.Distance.Cosine, Metric.DOT: e.Distance.Dot}
_DISTANCE = {Metric.COSINE: m.Distance.COSINE, Metric.DOT: m.Distance.DOT}


def edge_params(space: EmbeddingSpace, storage: Storage) -> e.EdgeVectorParams:
    """A dense space of a shard."""
    return e.EdgeVectorParams(
        space.dim,
        _EDGE_DISTANCE[space.metric],
        quantization_config=_edge_codes(storage.quantization),
        hnsw_config=e.HnswIndexConfig(storage.m, storage.ef_construct, SCAN_KB),
        memory=e.Memory.Cold if storage.on_disk else None,
    )


def _edge_codes(kind: Quantization) -> Any:
    match kind:
        case Quantization.SCALAR:
            return e.ScalarQuantizationConfig(e.ScalarType.Int8, quantile=QUANTILE, memory=e.Memory.Pinned)
        case Quantization.TURBO:
            return e.TurboQuantQuantizationConfig(bits=e.TurboQuantBitSize.Bits4, memory=e.Memory.Pinned)
        case Quantization.BINARY:
            asked = e.BinaryQuantizationQueryEncoding.Scalar8Bits  # the query keeps 8 bits: better order, same codes
            return e.BinaryQuantizationConfig(memory=e.Memory.Pinned, query_encoding=asked)
        case Quantization.NONE:
            return None


def server_params(space: EmbeddingSpace, storage: Storage) -> m.VectorParams:
    """A dense space of a collection."""
    return m.VectorParams(
        size=space.dim,
        distance=_DISTANCE[space.metric],
        quantization_config=_server_codes(storage.quantization),
        hnsw_config=m.HnswConfigDiff(m=storage.m, ef_construct=storage.ef_construct, full_scan_threshold=SCAN_KB),
        on_disk=True if storage.on_disk else None,
    )


def _server_codes(kind: Quantization) -> Any:
    match kind:
        case Quantization.SCALAR:
            config = m.ScalarQuantizationConfig(type=m.ScalarType.INT8, quantile=QUANTILE, always_ram=True)
            return m.ScalarQuantization(scalar=config)
        case Quantization.TURBO:
            bits = m.TurboQuantQuantizationConfig(bits=m.TurboQuantBitSize.BITS4, always_ram=True)
            return m.TurboQuantization(turbo=bits)
        case Quantization.BINARY:
            asked = m.BinaryQuantizationQueryEncoding.SCALAR8BITS
            return m.BinaryQuantization(binary=m.BinaryQuantizationConfig(always_ram=True, query_encoding=asked))
        case Quantization.NONE:
            return None


def edge_search(query: Nearest, storage: Storage) -> e.SearchParams:
    """How a shard is walked. Without rescoring of more points than are wanted recall is capped, whatever `ef` is."""
    codes = OVERSAMPLING.get(storage.quantization) if not query.space.sparse else None
    return e.SearchParams(
        hnsw_ef=max(query.ef or EF, query.limit),
        exact=query.exact,
        quantization=e.QuantizationSearchParams(rescore=True, oversampling=codes) if codes else None,
        acorn=e.AcornSearchParams(enable=True, max_selectivity=1.0) if query.acorn else None,
    )


def server_search(query: Nearest, storage: Storage) -> m.SearchParams:
    """The same for a server."""
    codes = OVERSAMPLING.get(storage.quantization) if not query.space.sparse else None
    return m.SearchParams(
        hnsw_ef=max(query.ef or EF, query.limit),
        exact=query.exact,
        quantization=m.QuantizationSearchParams(rescore=True, oversampling=codes) if codes else None,
        acorn=m.AcornSearchParams(enable=True, max_selectivity=1.0) if query.acorn else None,
    )
