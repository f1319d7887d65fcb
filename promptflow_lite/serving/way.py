"""How is an endpoint reached? Its address, who may come by it, and what that may cost."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Way"]


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
