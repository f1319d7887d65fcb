"""What is the Entra token for Azure OpenAI? From azure-identity, kept until shortly before it ends."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from promptflow_lite.connections.base import Secret
from promptflow_lite.errors import MissingExtra

__all__ = ["Token", "TokenSource", "token_source"]

_SCOPE = "https://cognitiveservices.azure.com/.default"
_EARLY_S = 300


@dataclass(frozen=True, slots=True)
class Token:
    """A token and when it ends."""

    text: Secret
    ends: float
    """Seconds since the epoch."""

    def holds(self) -> bool:
        """Whether it will do for a call that starts now."""
        return time.time() < self.ends - _EARLY_S


class TokenSource:
    """Tokens of one credential.

    Args:
        credential: anything of azure-identity.
    """

    def __init__(self, credential: Any) -> None:
        self._credential = credential
        self._token: Token | None = None
        # Many lines find the token stale at once; one of them fetches, the others wait for it.
        self._lock = threading.Lock()

    @property
    def fresh(self) -> Token | None:
        """The token at hand, if it still holds; quick."""
        token = self._token
        return token if token is not None and token.holds() else None

    def get(self) -> Token:
        """A token that holds; blocks while it is fetched."""
        with self._lock:
            token = self.fresh
            if token is None:
                given = self._credential.get_token(_SCOPE)
                token = self._token = Token(Secret(given.token), float(given.expires_on))
            return token


@lru_cache(maxsize=1)
def token_source() -> TokenSource:
    """The tokens of this process's default credential (environment, managed identity, `az login`, ...).

    Raises:
        MissingExtra: azure-identity is not installed.
    """
    try:
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415  # heavy: first use
    except ImportError as error:
        raise MissingExtra("azure-identity", "entra") from error
    return TokenSource(DefaultAzureCredential())
