"""Haystack: a retriever for pipelines that can be saved. The extra `haystack`."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from core.errors import Misconfigured
from quiver.facade import Quiver
from quiver.plugins.door import Door, described, missing, passage
from retrieval.request import Hit

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.utils import Secret
except ModuleNotFoundError as exc:
    raise missing("Haystack", "haystack") from exc

if TYPE_CHECKING:
    from quiver.remote.quiver import RemoteQuiver


@component
class QuiverRetriever:
    """The `top_k` best documents for a query, that agree with `filters`, an expression as `price < 20`.

    When it is first asked it opens the folder `data`, or connects to the server at `url`. Or it uses a `door` that is
    open: then it cannot be saved. A document's text is that of the segment that matched; of a picture it is the
    external id. Its id is the asset's.
    """

    def __init__(
        self,
        collection: str,
        *,
        data: str | None = None,
        url: str | None = None,
        api_key: Secret | None = None,
        filters: str | None = None,
        modality: str | None = None,
        top_k: int = 10,
        door: Door | None = None,
    ) -> None:
        """`api_key` is for `url`. Raises Misconfigured unless exactly one of `data`, `url` and `door` is given."""
        if [data, url, door].count(None) != 2:
            raise Misconfigured("a retriever needs one of: the folder data, the url of a server, an open door")
        self.collection = collection
        self.data = data
        self.url = url
        self.api_key = api_key
        self.filters = filters
        self.modality = modality
        self.top_k = top_k
        self._door = door
        self._opened: Quiver | RemoteQuiver | None = None
        self._turn = Lock()

    def warm_up(self) -> None:
        """Open the folder, or connect. Harmless twice."""
        self._open()

    def close(self) -> None:
        """Let go of what was opened, not of a door that was given. The next run opens it again."""
        with self._turn:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def to_dict(self) -> dict[str, Any]:
        """For a saved pipeline. Raises Misconfigured for a retriever over an open door."""
        if self._door is not None:
            raise Misconfigured("a retriever over an open door cannot be saved: make it with data or url")
        names = ("collection", "data", "url", "api_key", "filters", "modality", "top_k")
        return dict(default_to_dict(self, **{name: getattr(self, name) for name in names}))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> QuiverRetriever:
        """As it was saved."""
        made = default_from_dict(cls, data)
        assert isinstance(made, cls)
        return made

    @component.output_types(documents=list[Document])
    def run(self, query: str, filters: str | None = None, top_k: int | None = None) -> dict[str, list[Document]]:
        """`filters` and `top_k` win over those the retriever was made with. Raises what a search raises."""
        door = self._open()
        answer = door.search(
            self.collection,
            query,
            where=filters if filters is not None else self.filters,
            modality=self.modality,
            limit=top_k if top_k is not None else self.top_k,
        )
        return {"documents": [self._document(door, hit) for hit in answer.hits]}

    def _open(self) -> Door:
        with self._turn:
            if self._door is not None:
                return self._door
            if self._opened is None and self.url is not None:
                key = self.api_key.resolve_value() if self.api_key is not None else None
                self._opened = Quiver.connect(self.url, key)
            elif self._opened is None:
                self._opened = Quiver.open(self.data)
            return self._opened

    def _document(self, door: Door, hit: Hit) -> Document:
        text = passage(door, self.collection, hit)
        return Document(id=str(hit.asset), content=text, meta=described(self.collection, hit), score=hit.score)
