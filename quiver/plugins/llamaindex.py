"""LlamaIndex: a retriever of text and image nodes. The extra `llamaindex`."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from core.errors import NoSuchAsset
from core.types import Modality
from quiver.plugins.door import RESERVED, Door, described, missing, passage
from retrieval.request import Hit

try:
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle, TextNode
except ModuleNotFoundError as exc:
    raise missing("LlamaIndex", "llamaindex") from exc


class QuiverRetriever(BaseRetriever):
    """The `k` best nodes for a query, that agree with `where` and are of `modality` (None: of any).

    A picture is an ImageNode that says where its bytes lie, or holds them when they lie on another machine; its text
    is the external id. A node's id is that of the asset.
    """

    def __init__(
        self, door: Door, collection: str, *, k: int = 10, where: str | None = None, modality: str | None = None
    ) -> None:
        super().__init__()
        self._door = door
        self._collection = collection
        self._k = k
        self._where = where
        self._modality = modality

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Raises what a search raises."""
        answer = self._door.search(
            self._collection, query_bundle.query_str, where=self._where, modality=self._modality, limit=self._k
        )
        return [NodeWithScore(node=self._node(hit), score=hit.score) for hit in answer.hits]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def _node(self, hit: Hit) -> TextNode:
        ours = sorted(RESERVED)  # for programs: a language model and an embedding are shown the asset's own metadata
        said: dict[str, Any] = {
            "id_": str(hit.asset),
            "text": passage(self._door, self._collection, hit),
            "metadata": described(self._collection, hit),
            "excluded_llm_metadata_keys": ours,
            "excluded_embed_metadata_keys": ours,
        }
        if hit.modality is not Modality.IMAGE:
            return TextNode(**said)
        return ImageNode(**said, image_mimetype=hit.media_type, **self._picture(hit))

    def _picture(self, hit: Hit) -> dict[str, str]:
        try:
            path = self._door.show(self._collection, hit.asset).path
            if path is not None:
                return {"image_path": str(path)}
            return {"image": base64.b64encode(self._door.content(self._collection, hit.asset)).decode("ascii")}
        except NoSuchAsset:
            return {}  # removed since it was found
