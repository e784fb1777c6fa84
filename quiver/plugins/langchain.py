"""LangChain: a retriever and a vector store. The extra `langchain`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from core.errors import BadQuery, NoSuchAsset, Refused
from core.types import Modality
from quiver.plugins.door import Door, described, missing, own, passage, text_of
from retrieval.request import Hit

try:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.vectorstores import VectorStore
except ModuleNotFoundError as exc:
    raise missing("LangChain", "langchain") from exc


class QuiverRetriever(BaseRetriever):
    """The `k` best documents for a query, that agree with `where` and are of `modality` (None: of any).

    A document's text is that of the segment that matched; of a picture it is the external id.
    """

    door: Door
    collection: str
    k: int = 4
    where: str | None = None
    modality: str | None = None

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        del run_manager  # one call: there are no steps to report
        answer = self.door.search(self.collection, query, where=self.where, modality=self.modality, limit=self.k)
        return [_document(self.door, self.collection, hit) for hit in answer.hits]


class QuiverVectorStore(VectorStore):
    """A collection as a vector store. Ids are external ids. Quiver embeds by the collection's own encoders."""

    def __init__(self, door: Door, collection: str) -> None:
        self._door = door
        self._collection = collection

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Take texts in and wait until they are found, at most `timeout` seconds; their ids, in order.

        A text of an id that is there replaces it. Raises Refused when one could not be indexed, Unavailable.
        """
        _no_more(kwargs)
        said = list(texts)
        if not said:
            return []
        named = list(ids) if ids is not None else [None] * len(said)
        about = metadatas if metadatas is not None else [{}] * len(said)
        if not len(said) == len(named) == len(about):
            raise BadQuery(f"{len(said)} texts, {len(named)} ids, {len(about)} metadata: give as many of each")
        given = [(id_, text, own(of)) for id_, text, of in zip(named, said, about, strict=True)]
        added = self._door.add_texts(self._collection, given)
        fresh = {one.id for one in added}
        self._door.wait(self._collection, *fresh, timeout=timeout)
        for failure in self._door.failures(self._collection):
            if failure.asset_id in fresh:
                raise Refused(f"{failure.external_id!r} was not indexed: {failure.kind}: {failure.message}")
        return [one.external_id for one in added]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Remove by id; what is not there is no error. Raises BadQuery without ids: nothing removes everything."""
        _no_more(kwargs)
        if ids is None:
            raise BadQuery("name the ids to delete")
        self._door.remove(self._collection, *ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents of these ids, whole texts; those that are not there are left out."""
        found = []
        for id_ in ids:
            try:
                asset = self._door.show(self._collection, id_).asset
                text = asset.external_id
                if asset.modality is Modality.TEXT:
                    text = text_of(self._door.content(self._collection, asset.id))
            except NoSuchAsset:
                continue
            said = {"_id": str(asset.id), "_external_id": asset.external_id, "_collection": self._collection}
            kind = {"_modality": str(asset.modality), "_media_type": asset.media_type}
            metadata = {**asset.metadata, **said, **kind}
            found.append(Document(id=asset.external_id, page_content=text, metadata=metadata))
        return found

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The `k` best documents. Takes `where`, `modality` and `exact` as `Quiver.search` does."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
        """The same with fused scores: higher is better, and comparable within one answer only."""
        answer = self._door.search(self._collection, query, limit=k, **_search_options(kwargs))
        return [(_document(self._door, self._collection, hit), hit.score) for hit in answer.hits]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        raise BadQuery("scores are of one answer only and have no threshold: ask for the k best")

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> QuiverVectorStore:
        """A store over `door` and `collection`, both needed, with these texts. `embedding` is not used."""
        del embedding  # the collection has encoders of its own
        try:
            store = cls(kwargs.pop("door"), kwargs.pop("collection"))
        except KeyError as exc:
            raise BadQuery("name the door and the collection: from_texts(..., door=quiver, collection=...)") from exc
        store.add_texts(texts, metadatas, ids=ids, **kwargs)
        return store


def _document(door: Door, collection: str, hit: Hit) -> Document:
    text = passage(door, collection, hit)
    return Document(id=hit.external_id, page_content=text, metadata=described(collection, hit))


def _search_options(given: dict[str, Any]) -> dict[str, Any]:
    _no_more({name: value for name, value in given.items() if name not in ("where", "modality", "exact")})
    return given


def _no_more(given: dict[str, Any]) -> None:
    """An option that is not understood is not passed over: `filter` is what other stores call `where`."""
    if given:
        raise BadQuery(f"there is no option {', '.join(given)}; a filter is where='price < 20'")
