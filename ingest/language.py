"""The language of a text, where it is plain: naive Bayes over character n-grams (Lui and Baldwin 2012, "langid.py")."""

from __future__ import annotations

from functools import cache
from typing import Any

SURE = 0.9  # probability below which nothing is said
ENOUGH = 400  # characters that decide: more take longer and change nothing
NONE = "zxx"  # ISO 639-2: no linguistic content


def language_of(text: str) -> str:
    """In ISO 639-1; empty when it is not plain, or none at all. Safe to call from several threads."""
    name, probability = _model().classify(text[:ENOUGH])
    return str(name) if probability >= SURE and name != NONE else ""


@cache
def _model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Those with a code of two letters: dialects that have three would share the probability of the language.
    model.set_languages([name for name in model.nb_classes if len(name) == len("en") or name == NONE])
    return model
