"""Profiles by name: which model of the hub each is. A table; how a model is read, its own files say."""

from __future__ import annotations

from dataclasses import dataclass

from core.types import Modality

TEXT, IMAGE, AUDIO = Modality.TEXT, Modality.IMAGE, Modality.AUDIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A name for a model."""

    model: str  # its hub id; empty: its weights are in a package
    embeds: frozenset[Modality]
    megabytes: int  # to download, about
    about: str
    prompts: tuple[str, str] | None = None  # before queries and documents, where its own files do not say


PROFILES = {
    "packaged": Profile(
        model="",
        embeds=frozenset({TEXT, IMAGE}),
        megabytes=0,
        about="texts in 16 languages and images: concept search, with nothing to download",
    ),
    "clip": Profile(
        model="openai/clip-vit-base-patch32",
        embeds=frozenset({TEXT, IMAGE}),
        megabytes=605,
        about="texts in English and images",
    ),
    "siglip2": Profile(
        model="google/siglip2-base-patch16-224",
        embeds=frozenset({TEXT, IMAGE}),
        megabytes=1540,
        about="texts in many languages and images",
    ),
    "clap": Profile(
        model="laion/clap-htsat-unfused",
        embeds=frozenset({TEXT, AUDIO}),
        megabytes=615,
        about="texts in English and sounds, 10 s at a time",
    ),
    # Wang et al. 2024, "Multilingual E5 Text Embeddings": what stands before texts is part of the training.
    "e5": Profile(
        model="intfloat/multilingual-e5-small",
        embeds=frozenset({TEXT}),
        megabytes=490,
        about="texts in many languages, 512 tokens at a time",
        prompts=("query: ", "passage: "),
    ),
    "bge-m3": Profile(
        model="BAAI/bge-m3",
        embeds=frozenset({TEXT}),
        megabytes=2290,
        about="texts in many languages, 8192 tokens at a time; its dense vectors",
    ),
    "dinov2": Profile(
        model="facebook/dinov2-base",
        embeds=frozenset({IMAGE}),
        megabytes=350,
        about="what images look like, for image to image",
    ),
}
