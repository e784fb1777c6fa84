"""The language of a text, where it is plain: naive Bayes over character n-grams (Lui and Baldwin 2012, "langid.py")."""

from __future__ import annotations

from functools import cache
from typing import Any

SURE = 0.9  # probability below which nothing is said
ENOUGH = 2000  # characters that decide
_CODE = 2  # letters of ISO 639-1; the model knows languages that have none


def language_of(text: str) -> str:
    """In ISO 639-1; empty when it is not plain, or is a language without such a code. Safe to call from several
    threads."""
    name, probability = _model().classify(text[:ENOUGH])
    return str(name) if probability >= SURE and len(name) == _CODE else ""


@cache
def _model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
