"""What does `pf data from-traffic` do? Reads, makes the rows, writes them, and says what was left out."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from promptflow_lite.cli.console import emit_json, neutral, say
from promptflow_lite.connections.store import provider
from promptflow_lite.errors import InputError, UserError
from promptflow_lite.runs.disk import DISK
from promptflow_lite.runs.redact import redactor
from promptflow_lite.serving.endpoints.store import Endpoints
from promptflow_lite.serving.reply import dumps
from promptflow_lite.serving.traffic.dataset import Dataset, dataset_of
from promptflow_lite.serving.traffic.read import FEEDBACK, Read, opinions, records
from promptflow_lite.settings import settings

__all__ = ["Asked", "make", "moment"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options as they were typed."""

    output: Path
    endpoint: str | None
    source: Path | None
    deployment: str | None
    since: str | None
    with_feedback: bool
    without: Sequence[str]
    overwrite: bool
    as_json: bool


def make(asked: Asked) -> int:
    """Make the data set; the exit code: 3 where no request is left."""
    folder, rated = _where(asked)
    if asked.output.exists() and not asked.overwrite:
        message = f"{asked.output} is there already"
        raise UserError(message, code="file-exists", hint="--yes writes over it")
    after = moment(asked.since, time.time()) if asked.since else 0.0
    went = Read()
    found = dataset_of(
        (one for one in records(folder, went, deployment=asked.deployment) if one["at"] >= after),
        opinions(rated, went),
        redact=redactor(provider(settings())),
        without=asked.without,
        only_rated=asked.with_feedback,
    )
    if found.rows:
        try:
            DISK.write_file(asked.output, (dumps(row) + b"\n" for row in found.rows))
        except OSError as error:
            message = f"{asked.output}: {error.strerror}"
            raise UserError(message, code="bad-output") from error
    _tell(asked, found, went)
    return 0 if found.rows else 3


def moment(text: str, now: float) -> float:
    """What `--since` means, in seconds since the epoch; a date without a zone is UTC.

    >>> moment("2h", 10_000.0)
    2800.0
    >>> moment("1970-01-02", 0.0)
    86400.0

    Raises:
        InputError: it is neither a span nor a date (code `bad-option`).
    """
    span = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if span:
        return now - float(span[1]) * _UNITS[span[2]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f"--since: expected a span such as 7d or 90m, or a date such as 2026-11-01, got {text!r}"
        raise InputError(message, code="bad-option") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _where(asked: Asked) -> tuple[Path, Path]:
    """The folder of requests, and the file of feedback."""
    if (asked.endpoint is None) == (asked.source is None):
        raise InputError("say which traffic: either --endpoint NAME or --source DIR", code="bad-option")
    if asked.source is not None:
        return asked.source, asked.source / FEEDBACK
    kept = Endpoints(settings().home).get(asked.endpoint or "")
    return kept.collected, kept.feedback


def _tell(asked: Asked, found: Dataset, went: Read) -> None:
    if asked.as_json:
        counts: dict[str, Any] = asdict(found)
        rows = len(counts.pop("rows"))
        file = str(asked.output) if rows else None
        counts |= {"mirrored": went.mirrored, "broken_lines": went.broken}
        emit_json({"file": file, "rows": rows, **counts})
        return
    left_out = [
        (found.duplicates, "duplicates"),
        (found.unrated, "without feedback"),
        (found.without_inputs, "without inputs"),
        (went.mirrored, "mirrored"),
        (went.broken, "broken lines"),
    ]
    reasons = ", ".join(f"{count:,} {what}" for count, what in left_out if count)
    say(f"requests  {found.requests:,}" + (f"; left out: {reasons}" if reasons else ""))
    say(f"removed   {found.secrets:,} secrets, {found.fields:,} fields")
    if not found.rows:
        say("no request is left; nothing was written")
        return
    say(f"wrote     {len(found.rows):,} rows to {neutral(str(asked.output))}, {found.rated:,} with feedback")
    say(f"\nnext:\n  pf run create --flow FLOW --data {neutral(str(asked.output))}")
