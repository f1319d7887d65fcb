"""How is an endpoint reached? Its address, who may come by it, and what that may cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Way", "names_here", "origins_of"]

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, kw_only=True)
class Way:
    """How an endpoint is reached, and with which limits."""

    url: str
    hosts: tuple[str, ...] | None = None
    origins: tuple[str, ...] = ()
    max_body_bytes: int = 8 * 1024 * 1024
    grace_s: float = 30.0
    log_level: str = "warning"
    mcp: bool = False
    """Whether the endpoint is offered as an MCP tool too."""
    mlflow: str = ""
    """The address of an MLflow that is told of requests as traces; empty for none."""


def names_here(host: str, further: Iterable[str] = ()) -> tuple[str, ...]:
    """The names that callers on this machine may use in the `Host` header.

    Args:
        host: the address it listens on.
        further: names that it has besides, such as a proxy's.
    """
    return (*_LOOPBACK_NAMES, host.lower(), *further)


def origins_of(sites: Iterable[str]) -> tuple[str, ...]:
    """Sites as the `Origin` header of their pages writes them.

    >>> origins_of(["https://App.example.com/"])
    ('https://app.example.com',)
    """
    return tuple(site.rstrip("/").lower() for site in sites)
