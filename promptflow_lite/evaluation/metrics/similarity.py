"""How near are two texts as a whole? By edits, and by their embeddings."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

__all__ = ["cosine", "edit_similarity"]


def edit_similarity(answer: str, reference: str) -> float:
    """1 less the share of characters to insert, delete or replace, 0 to 1; NFKC first, case counts.

    Source: Levenshtein 1966, divided by the longer length; rapidfuzz's normalized_similarity.

    >>> edit_similarity("ｋitten", "sitting")
    0.5714285714285714
    """
    from rapidfuzz.distance import Levenshtein  # noqa: PLC0415  # heavy: first use

    pair = (unicodedata.normalize("NFKC", text) for text in (answer, reference))
    return float(Levenshtein.normalized_similarity(*pair))


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """The cosine of the angle between two embeddings, -1 to 1; 0 where one has no length.

    Args:
        left: one number a dimension.
        right: as many.
    """
    a, b = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0
