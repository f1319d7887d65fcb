"""Was this asked before? Answers of models, kept by what was asked; an SQLite file, safe among processes.

The key is a hash of the endpoint's address, the operation, the whole request and the repeat; neither it nor
the answer holds a secret of the connection. diskcache would do the same with pickles, which whoever can write
the file could make run code.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from promptflow_lite.errors import PromptflowError
from promptflow_lite.settings import settings
from promptflow_lite.tools.endpoint import Endpoint
from promptflow_lite.tools.scope import SharedAnswers, answers, current

__all__ = ["FILE", "Cache", "Kept", "Totals", "cache_in_use", "key_of", "tokens_of"]

FILE = "answers.sqlite"
_SCHEMA = """
create table if not exists answers (
  key text primary key, created real not null, endpoint text not null, model text not null,
  tokens integer not null, hits integer not null default 0, request blob not null, answer blob not null
) without rowid
"""
_BUSY_S = 5.0


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer that is kept."""

    key: str
    created: float
    """Seconds since the epoch."""
    endpoint: str
    model: str
    tokens: int
    hits: int
    """How often it was given again."""
    request: Any
    answer: Any


@dataclass(frozen=True, slots=True)
class Totals:
    """What a cache holds of one model at one endpoint."""

    endpoint: str
    model: str
    answers: int
    tokens: int
    hits: int
    tokens_saved: int
    bytes: int
    oldest: float
    newest: float


class Cache:
    """Answers in a file.

    Args:
        path: the file; made with its folder at the first use, for this user's eyes only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        """Threads of user code ask too, and share one connection."""

    def get(self, key: str) -> Any:
        """The answer that is kept under `key`; `None` for none."""
        with self._lock:
            db = self._open()
            row = db.execute("select answer from answers where key = ?", (key,)).fetchone()
            if row is None:
                return None
            db.execute("update answers set hits = hits + 1 where key = ?", (key,))
        return orjson.loads(row[0])

    def put(self, key: str, endpoint: Endpoint, request: Mapping[str, Any], answer: Any) -> None:
        """Keep an answer; the later of two is kept."""
        row = (
            key,
            time.time(),
            endpoint.address,
            str(request.get("model") or ""),
            tokens_of(answer),
            orjson.dumps(request),
            orjson.dumps(answer),
        )
        with self._lock:
            self._open().execute(
                "insert or replace into answers (key, created, endpoint, model, tokens, request, answer) "
                "values (?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def totals(self) -> list[Totals]:
        """What is kept, by endpoint and model."""
        if not self.path.exists():
            return []
        with self._lock:
            rows = self._open().execute(
                "select endpoint, model, count(*), sum(tokens), sum(hits), sum(hits * tokens), "
                "sum(length(request) + length(answer)), min(created), max(created) "
                "from answers group by endpoint, model order by endpoint, model"
            )
            return [Totals(*row) for row in rows]

    def each(self) -> Iterator[Kept]:
        """Every answer, the oldest first."""
        if not self.path.exists():
            return
        with self._lock:
            keys = [key for (key,) in self._open().execute("select key from answers order by created, key")]
        for key in keys:
            with self._lock:
                row = (
                    self._open()
                    .execute(
                        "select key, created, endpoint, model, tokens, hits, request, answer "
                        "from answers where key = ?",
                        (key,),
                    )
                    .fetchone()
                )
            if row is not None:
                request, answer = map(orjson.loads, row[6:])
                key, created, endpoint, model, tokens, hits = row[:6]
                yield Kept(key, created, endpoint, model, tokens, hits, request, answer)

    def clear(self, *, model: str | None = None, older_than_s: float | None = None) -> int:
        """Forget answers; how many.

        Args:
            model: only those of this model.
            older_than_s: only those of this age, in seconds, or more.
        """
        if not self.path.exists():
            return 0
        born = time.time() - (older_than_s or 0.0)
        with self._lock:
            db = self._open()
            gone = db.execute(
                "delete from answers where (:model is null or model = :model) and created <= :born",
                {"model": model, "born": born},
            ).rowcount
            db.execute("vacuum")
        return gone

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            db = _connect(self.path)
            weakref.finalize(self, db.close)  # nobody says goodbye to the caches of earlier folders
            self._connection = db
        return self._connection


def _connect(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            with closing(db.execute("pragma journal_mode = wal")):
                pass
            db.execute("pragma synchronous = normal")  # a kill loses nothing, a power cut the last answers
            db.execute(_SCHEMA)
        except sqlite3.DatabaseError:
            db.close()
            raise
    except sqlite3.DatabaseError as error:
        raise PromptflowError(
            f"the cache {str(path)!r} cannot be read: {error}",
            code="bad-cache",
            hint="delete the file, or run without --cache",
        ) from error
    return db


def cache_in_use() -> Cache | None:
    """The cache of the run under way, or else the one that PF_CACHE asks for."""
    folder = answers.get()
    if isinstance(folder, SharedAnswers):
        scope = current.get()
        return _opened(folder.folder) if scope is not None and scope.node in folder.nodes else None
    if folder is None:
        folder = str(settings().cache) if settings().caching else ""
    return _opened(folder) if folder else None


@lru_cache(maxsize=8)
def _opened(folder: str) -> Cache:
    return Cache(Path(folder) / FILE)


def key_of(endpoint: Endpoint, operation: str, body: Mapping[str, Any]) -> str:
    """What tells a request from all others: who is asked what, and for which repeat of a line.

    What the runs of a sweep share is told by its line and its node too: lines that ask the same are asked for
    apart, as they would be by a run of its own.
    """
    scope = current.get()
    asked = [endpoint.address, operation, body, scope.repeat if scope is not None else 0]
    if isinstance(shared := answers.get(), SharedAnswers) and scope is not None:
        asked += [scope.line_number, scope.node, shared.nodes.get(scope.node)]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def tokens_of(answer: Any) -> int:
    """The tokens that an answer, or the events of a streamed one, took."""
    parts = answer if isinstance(answer, list) else [answer]
    used = [part["usage"] for part in parts if isinstance(part, dict) and isinstance(part.get("usage"), dict)]
    return int(used[-1].get("total_tokens") or 0) if used else 0
