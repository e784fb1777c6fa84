"""Calibration from judgements: isotonic regression (Zadrozny and Elkan 2002), by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.errors import MissingExtra
from retrieval.calibration import KNOTS, Curve


def judged(scores: Sequence[float], relevant: Sequence[bool]) -> Curve:
    """The monotone curve nearest to what was judged, least squares; one score and judgement each, at least one.

    The best score was wrong once and the lowest right once, whatever was judged: nothing is certain. Raises
    MissingExtra.
    """
    try:
        from sklearn.isotonic import IsotonicRegression
    except ModuleNotFoundError as exc:
        raise MissingExtra("fitting to judgements needs scikit-learn: pip install 'quiver[calibration]'") from exc
    x = np.array([*scores, max(scores), min(scores)], np.float64)
    y = np.array([*relevant, False, True], np.float64)
    made = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(x, y)
    at = np.asarray(made.X_thresholds_, np.float64)
    kept = np.unique(np.linspace(0, len(at) - 1, KNOTS).round().astype(np.int64))
    return Curve(at[kept], np.asarray(made.y_thresholds_, np.float64)[kept])
