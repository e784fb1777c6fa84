"""Why a query finds an asset: the door's view of `workers.regions`."""

from __future__ import annotations

from uuid import UUID

from quiver.asking import Asking, PathLike, Question
from retrieval.regions import GRID, Explained
from retrieval.request import SearchRequest
from workers.regions import explain


class Explaining(Asking):
    """Explanations of one asset."""

    def explain(
        self,
        collection: str,
        key: str | UUID,
        text: str | None = None,
        *,
        image: PathLike | bytes | None = None,
        audio: PathLike | bytes | None = None,
        like: str | UUID | None = None,
        space: str | None = None,
        grid: int = GRID,
    ) -> Explained:
        """Which segments of an asset a query is nearest to, in each space, and which region of a picture makes it so.

        The picture is divided into `grid` x `grid` cells; windows of 2 x 2 of them are covered one after the other, and
        the score, in `space` or the first that compares the query with pictures, is taken anew. `Explained.region` has
        what each cell is worth and the box of the best, `Explained.picture` both drawn, as a PNG. Where no part costs
        a twentieth of the score, the whole picture matches: then the box is None. Raises NoSuchCollection, NoSuchAsset,
        BadQuery, NoSpaceFor, and what a bad file raises.
        """
        kept = self._collection(collection)
        asset = self._asset(kept, key)
        question = Question(text=text, image=image, audio=audio, like=like)
        request = SearchRequest(
            tenant=self._tenant,
            collection=kept.name,
            query=self._query(kept, question),
            modalities=frozenset({asset.modality}),
        )
        return explain(self._parts, kept, asset, request, space=space, grid=grid)
