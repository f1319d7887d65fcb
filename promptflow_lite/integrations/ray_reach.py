"""How is a Ray cluster reached? Its token is shown, and where nobody listens that is found at once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

__all__ = ["bring_token", "knock", "said"]

_KNOCK_S = 10.0


def bring_token(address: str | None) -> None:
    """Show the cluster's token, where there is one: Ray does so by itself, but not for `ray://` (2.60)."""
    if address is None or not address.startswith("ray://"):
        return
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or Path("~/.ray/auth_token").expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def said(error: Exception) -> str:
    """What an error says, without the server's stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if any(line.startswith("Traceback") for line in lines) else str(error)


def knock(address: str | None) -> None:
    """See whether anybody listens there: Ray itself asks for minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()
