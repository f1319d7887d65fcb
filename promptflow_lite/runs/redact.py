"""Which secrets must not be kept? Every connection's, replaced in whatever a run writes."""

from __future__ import annotations

from collections.abc import Callable

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.errors import UserError
from promptflow_lite.runs.records import dumps

__all__ = ["redactor"]

_SHORTEST = 8
"""A shorter secret is likely a word of the text it would be replaced in."""


def redactor(connections: ConnectionProvider) -> Callable[[bytes], bytes]:
    """A function that replaces the secrets of all connections in JSON text by `***`.

    An endpoint may echo a key in its error, and a tool may return its connection: neither shall end in a
    journal.
    """
    secrets = sorted(
        {s for name in connections.names() for s in _secrets(connections, name)}, key=len, reverse=True
    )

    def redact(text: bytes) -> bytes:
        for secret in secrets:
            if secret in text:
                text = text.replace(secret, b"***")
        return text

    return redact


def _secrets(connections: ConnectionProvider, name: str) -> list[bytes]:
    try:
        values = connections.get(name).secrets.values()
    except UserError:  # a connection that is broken has not been used either
        return []
    return [dumps(value)[1:-1] for value in values if isinstance(value, str) and len(value) >= _SHORTEST]
