"""Models of the Hugging Face Hub and of folders as encoders: `clip:` and `hf:`, weights loaded on first use."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.encoders.batches import by_tokens
from core.encoders.checkpoint import Checkpoint
from core.encoders.families import Prompts, read
from core.encoders.files import digest
from core.encoders.gpu import rows_of
from core.encoders.heap import give_back
from core.encoders.hub import snapshot, verify
from core.encoders.loading import load, tokenizer
from core.encoders.resizing import resized
from core.encoders.tokenizing import Tokenizer
from core.encoders.towers import Float, Towers
from core.errors import BadModel, NoSpaceFor, UnknownProfile
from core.ports import Embeds
from core.spaces import EmbeddingSpace
from core.timing import part
from core.types import Audio, Content, Image, Modality, Text, Wants

BATCH = 32  # pictures or sounds in one forward on a CPU; a GPU finds out how many

T = TypeVar("T")

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"(?P<id>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")


@dataclass(slots=True, eq=False)
class ModelEncoder:
    """What one checkpoint embeds, f32 (n, dim)."""

    checkpoint: Checkpoint
    prompts: Prompts = None
    hub_id: str = ""  # empty: it is a folder
    _words: Tokenizer | None = None
    _towers: Towers | None = None
    _filters: NDArray[np.float64] | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def space(self) -> EmbeddingSpace:
        """Port."""
        return self.checkpoint.space

    @property
    def wants(self) -> Wants:
        """The side that images are resized to, before their middle is cut out; the rate and the window of sounds."""
        picture, sound = self.checkpoint.design.picture, self.checkpoint.design.sound
        return Wants(
            contents=self.space.modalities,
            pixels=max(picture.size) if picture is not None else 0,
            squashed=picture is not None and len(picture.size) == 2,
            rate=sound.rate if sound is not None else 0,
            seconds=float(sound.seconds) if sound is not None else Wants().seconds,
        )

    @property
    def tokens(self) -> Tokenizer | None:
        """Port. None, too, for a tokenizer that does not say where tokens lie. Raises MissingExtra, BadModel."""
        words = self._tokenizer()
        return words if words is not None and words.exposes_spans() else None

    @property
    def how(self) -> Mapping[str, str]:
        """Port: of each tower."""
        return self._towers.how if self._towers is not None else {}

    def encode(self, contents: Sequence[Content]) -> Float:
        """Unit rows. Raises MissingExtra, BadModel, NoSpaceFor."""
        return self._encode(contents, asked=False)

    def encode_queries(self, queries: Sequence[Content]) -> Float:
        """As `encode`; texts with what stands before queries."""
        return self._encode(queries, asked=True)

    def of(self, space: EmbeddingSpace) -> Embeds | None:
        """The same model of the hub at the commit of a space; None when that is of no commit of it. Raises BadModel."""
        here = self.space
        if not self.hub_id or space.model != here.model or space.revision == here.revision:
            return None
        return of_hub(self.hub_id, space.revision, self.prompts) if _COMMIT.fullmatch(space.revision) else None

    def pull(self) -> str:
        """Check the files of a hub model against its checksums; what it is. Raises BadModel."""
        left = verify(self.hub_id, self.checkpoint.folder) if self.hub_id else []
        said = f"; not compared with a checksum: {', '.join(left)}" if left else ""
        return f"{self.space.model} at {self.space.revision}{said}"

    def _encode(self, contents: Sequence[Content], *, asked: bool) -> Float:
        out = np.empty((len(contents), self.space.dim), np.float32)
        for content in contents:
            if content.modality not in self.space.modalities:
                raise NoSpaceFor(f"{self.space.name} embeds {' and '.join(sorted(self.space.modalities))}")
        self._texts({i: c.value for i, c in enumerate(contents) if isinstance(c, Text)}, out, asked=asked)
        self._images({i: c for i, c in enumerate(contents) if isinstance(c, Image)}, out)
        self._sounds({i: c for i, c in enumerate(contents) if isinstance(c, Audio)}, out)
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        out /= np.where(norms > 0, norms, 1)
        out[norms[:, 0] == 0, 0] = 1  # what has no direction at all: any fixed one
        return out

    def _texts(self, texts: dict[int, str], out: Float, *, asked: bool) -> None:
        words, wording = self._tokenizer(), self.checkpoint.design.wording
        if not texts or words is None or wording is None:
            return
        rows = words.batch(list(texts.values()), wording.query if asked else wording.document)
        places, embed = np.array(list(texts)), _there(self._loaded().texts)
        lengths = [wording.tokens if wording.full else len(row) for row in rows]
        for some in by_tokens(lengths, rows=rows_of(embed)):
            out[places[some]] = embed(*words.padded([rows[i] for i in some]))

    def _images(self, images: dict[int, Image], out: Float) -> None:
        for some, tower in self._batched(list(images), lambda towers: towers.images):
            with part("resize"):
                seen = np.stack([_there(self.checkpoint.design.picture).prepare(images[i], resized) for i in some])
            out[some] = tower(seen)

    def _sounds(self, sounds: dict[int, Audio], out: Float) -> None:
        for some, tower in self._batched(list(sounds), lambda towers: towers.sounds):
            sound = _there(self.checkpoint.design.sound)
            heard = np.stack([sound.prepare(sounds[i], _there(self._filters)) for i in some])
            out[some] = tower(heard)

    def _batched(
        self, places: list[int], of: Callable[[Towers], Callable[[Float], Float] | None]
    ) -> Iterator[tuple[list[int], Callable[[Float], Float]]]:
        """As many as the tower is given at once, and the tower. Nothing is loaded for nothing."""
        while places:
            tower = _there(of(self._loaded()))
            rows = rows_of(tower)
            most = rows(1) if rows is not None else BATCH
            yield places[:most], tower
            places = places[most:]

    def _tokenizer(self) -> Tokenizer | None:
        if self._words is None:
            with part("load"), self._lock:
                if self._words is None:
                    self._words = tokenizer(self.checkpoint)
        return self._words

    def _loaded(self) -> Towers:
        if self._towers is None:
            with part("load"), self._lock:
                if self._towers is None:
                    sound = self.checkpoint.design.sound
                    self._filters = sound.filters() if sound is not None else None
                    self._towers = load(self.checkpoint, self._tokenizer())
                    give_back()
        return self._towers


def _there(part: T | None) -> T:
    assert part is not None  # the space says that it embeds this
    return part


def make(argument: str) -> Sequence[Embeds]:
    """The encoder of `hf:FOLDER`, `hf:HUB_ID` or `hf:HUB_ID@REVISION`, no weight loaded yet; a hub model that is not in
    the cache is downloaded. Raises UnknownProfile, BadModel."""
    return made("hf", argument)


def make_clip(argument: str) -> Sequence[Embeds]:
    """The same of `clip:`, of models that embed texts and pictures."""
    encoders = made("clip", argument)
    for encoder in encoders:
        if encoder.space.modalities != {Modality.TEXT, Modality.IMAGE}:
            raise BadModel(f"{argument} is no CLIP or SigLIP, but {encoder.space.name}: write hf:{argument}")
    return encoders


def made(profile: str, argument: str, prompts: Prompts = None) -> Sequence[Embeds]:
    """The encoder of a folder or a hub id. Raises UnknownProfile, BadModel."""
    if not argument:
        raise UnknownProfile(f"the {profile} profile needs a model: write {profile}:FOLDER or {profile}:HUB_ID")
    folder = Path(argument).expanduser()
    if folder.is_dir():
        return (_guarded(argument, lambda: of_folder(folder.resolve(), prompts)),)
    named = _HUB_ID.fullmatch(argument)
    if named is None:
        raise BadModel(f"there is no folder {argument}: name the folder of a checkpoint, or a hub id")
    return (of_hub(named["id"], named["revision"], prompts),)


def of_folder(folder: Path, prompts: Prompts = None) -> ModelEncoder:
    """The encoder of a checkpoint here, its revision the digest of its files."""
    return ModelEncoder(read(folder, folder.name, digest(folder), prompts), prompts)


def of_hub(name: str, revision: str | None, prompts: Prompts = None) -> ModelEncoder:
    """The encoder of a hub model, its revision the commit. Raises BadModel."""

    def encoder() -> ModelEncoder:
        folder = snapshot(name, revision)
        return ModelEncoder(read(folder, name, folder.name, prompts), prompts, name)

    return _guarded(name, encoder)


def _guarded(said: str, encoder: Callable[[], ModelEncoder]) -> ModelEncoder:
    """The seam of a checkpoint's files: what they make Python raise says that one is damaged."""
    try:
        return encoder()
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise BadModel(f"{said}: a file of it is damaged: copy or download the model again ({exc!r})") from exc
