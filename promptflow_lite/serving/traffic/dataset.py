"""Which data set do requests make? A row for each different one, without secrets, with its feedback."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from promptflow_lite.serving.reply import dumps
from promptflow_lite.serving.traffic.read import Opinion
from promptflow_lite.serving.traffic.scrub import scrub, scrub_value

__all__ = ["Dataset", "dataset_of"]

_FACTS = ("time", "deployment", "status", "error", "seconds")
_SCORE, _COMMENT = "feedback.score", "feedback.comment"

Redact = Callable[[bytes], bytes]


@dataclass
class Dataset:
    """Rows for `pf run create --data`, and what was left out."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    """That were looked at."""
    duplicates: int = 0
    """Requests whose inputs are those of another."""
    without_inputs: int = 0
    """Requests of which no inputs were kept."""
    unrated: int = 0
    """Left out because nobody said anything of them."""
    secrets: int = 0
    """Replaced by `***`, in requests and in feedback."""
    fields: int = 0
    """Removed because of their names."""
    rated: int = 0
    """Rows with feedback."""


def dataset_of(
    records: Iterable[Mapping[str, Any]],
    opinions: Mapping[str, Opinion],
    *,
    redact: Redact = bytes,
    without: Collection[str] = (),
    only_rated: bool = False,
) -> Dataset:
    """The data set of some requests: columns are inputs by name, `outputs.NAME`, `request.*`, `feedback.*`.

    Two requests are duplicates where their inputs are equal after NFKC, with white space as one space each.
    The newest stays, one that somebody rated before one that nobody did; `request.times` says how often it
    came. Secrets are replaced first, so that requests that differ in a key alone are duplicates too.

    Args:
        records: as `read.records` gives them.
        opinions: by the request's id.
        redact: replaces the secrets of connections in JSON text.
        without: names of fields to remove, at any depth of inputs and outputs.
        only_rated: leave out what nobody rated.
    """
    made = Dataset()
    kept: dict[str, tuple[tuple[bool, float], dict[str, Any]]] = {}
    times: Counter[str] = Counter()
    for record in records:
        made.requests += 1
        if not isinstance(record.get("inputs"), dict):
            made.without_inputs += 1
            continue
        opinion = opinions.get(str(record.get("request_id")))
        if opinion is None and only_rated:
            made.unrated += 1
            continue
        row = _row(record, opinion, made, redact, without)
        key = _folded(row, record["inputs"])
        times[key] += 1
        rank = (opinion is not None, float(record["at"]))
        if key not in kept or rank >= kept[key][0]:
            kept[key] = (rank, row)
    made.duplicates = times.total() - len(kept)
    for key, (_, row) in sorted(kept.items(), key=lambda item: str(item[1][1]["request.time"])):
        row["request.times"] = times[key]
        made.rows.append(row)
    made.rated = sum(_SCORE in row for row in made.rows)
    _complete(made.rows)
    return made


def _row(
    record: Mapping[str, Any],
    opinion: Opinion | None,
    made: Dataset,
    redact: Redact,
    without: Collection[str],
) -> dict[str, Any]:
    """The row of one request, before rows are compared."""
    inputs, removed = scrub_value(record["inputs"], set(without))
    outputs, also_removed = scrub_value(record.get("outputs") or {}, set(without))
    row = {
        **inputs,
        **{f"outputs.{name}": value for name, value in outputs.items()},
        "request.id": record.get("request_id"),
        **{f"request.{name}": record.get(name) for name in _FACTS},
    }
    if opinion is not None:
        row[_SCORE] = opinion.score
        row[_COMMENT] = "\n".join(opinion.comments) or None
    text, found = scrub(redact(dumps(row)))
    made.fields += removed + also_removed
    made.secrets += found
    clean: dict[str, Any] = orjson.loads(text)
    return clean


def _folded(row: Mapping[str, Any], inputs: Collection[str]) -> str:
    """What two equal requests have in common."""
    return json.dumps(_fold({name: row.get(name) for name in inputs}), sort_keys=True)


def _fold(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).split())
    if isinstance(value, dict):
        return {key: _fold(part) for key, part in value.items()}
    return [_fold(part) for part in value] if isinstance(value, list) else value


def _complete(rows: list[dict[str, Any]]) -> None:
    """Let all rows have the columns of feedback where one has: a column mapping may name them."""
    if any(_SCORE in row for row in rows):
        for row in rows:
            row.setdefault(_SCORE, None)
            row.setdefault(_COMMENT, None)
