"""Which documents were found, and which are right? Names and grades, in whatever form a flow has them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from promptflow_lite.errors import InputError

__all__ = ["NAMES", "grades_of", "names_of"]

NAMES = ("id", "document_id")
"""Where a document's name stands, unless a key is given; the second is azure-ai-evaluation's."""
_GRADES = ("grade", "query_relevance_label")


def names_of(documents: Sequence[Any] | None, key: str = "") -> list[str]:
    """The names of documents, in their order.

    Args:
        documents: names, or mappings that hold one.
        key: where it stands in a mapping, such as `metadata.source`; empty: `id` or `document_id`.

    Raises:
        InputError: a document has no name there (`nameless-document`), or this is no list of documents.

    >>> names_of(["a", {"id": "b"}]), names_of([{"metadata": {"source": "c"}}], "metadata.source")
    (['a', 'b'], ['c'])
    """
    if documents is None:
        return []
    if isinstance(documents, str | Mapping) or not isinstance(documents, Sequence):
        raise InputError(f"expected a list of documents, got {documents!r:.80}", code="wrong-type")
    return [_name(number, document, key) for number, document in enumerate(documents, start=1)]


def grades_of(truth: Any, key: str = "") -> dict[str, float]:
    """How relevant each judged document is; 0 is irrelevant, and one that is only named has 1.

    Args:
        truth: a name; a list of names; names to grades; or documents with a `grade` (or azure-ai-evaluation's
            `query_relevance_label`). What is empty judges nothing.
        key: as for `names_of`.

    Raises:
        InputError: a grade is no number of 0 or more (`wrong-type`), or a document has no name.

    >>> grades_of(["a", "b"]), grades_of({"a": 3}), grades_of([{"id": "a", "grade": 2}])
    ({'a': 1.0, 'b': 1.0}, {'a': 3.0}, {'a': 2.0})
    """
    if truth is None or truth == "":
        return {}
    if isinstance(truth, str):
        return {truth: 1.0}
    if isinstance(truth, Mapping) and not any(name in truth for name in (*NAMES, *_GRADES)):
        return {str(name): _grade(name, grade) for name, grade in truth.items()}
    judged = [truth] if isinstance(truth, Mapping) else truth
    names = names_of(judged, key)
    return {name: _grade(name, _of_document(document)) for name, document in zip(names, judged, strict=True)}


def _name(number: int, document: Any, key: str) -> str:
    if not isinstance(document, Mapping):
        return str(document)
    for path in (key,) if key else NAMES:
        value: Any = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value not in (None, ""):
            return str(value)
    wanted = repr(key) if key else " or ".join(map(repr, NAMES))
    raise InputError(
        f"document {number} has no {wanted}; it has: {', '.join(map(str, document))}",
        code="nameless-document",
    )


def _of_document(document: Any) -> Any:
    if not isinstance(document, Mapping):
        return 1
    return next((document[name] for name in _GRADES if name in document), 1)


def _grade(name: Any, value: Any) -> float:
    try:
        grade = float(value)
    except (TypeError, ValueError):
        grade = math.nan
    if not 0 <= grade < math.inf:
        raise InputError(f"{name!r}: expected a grade of 0 or more, got {value!r}", code="wrong-type")
    return grade
