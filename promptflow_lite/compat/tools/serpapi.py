"""`promptflow.tools.serpapi`: what a search engine finds, by SerpApi."""

from __future__ import annotations

from enum import Enum
from typing import Any

from promptflow_lite.compat._missing import names_of
from promptflow_lite.connections.kinds import SerpConnection
from promptflow_lite.tools.services import search_the_web
from promptflow_lite.tools.tool import ToolProvider, tool

__all__ = ["Engine", "SafeMode", "SerpAPI", "search"]


class SafeMode(str, Enum):  # noqa: UP042  # Prompt flow's str() of a member is not its value
    """Whether findings for adults are left out."""

    ACTIVE = "active"
    OFF = "off"


class Engine(str, Enum):  # noqa: UP042  # as above
    """Which engine is asked."""

    GOOGLE = "google"
    BING = "bing"


class SerpAPI(ToolProvider):
    """The tool of one connection."""

    def __init__(self, connection: SerpConnection) -> None:
        super().__init__()
        self.connection = connection

    @tool
    def search(
        self,
        query: str,
        location: str | None = None,
        safe: SafeMode = SafeMode.OFF,
        num: int = 10,
        engine: Engine = Engine.GOOGLE,
    ) -> dict[str, Any]:
        """SerpApi's answer."""
        return search(self.connection, query, location, safe, num, engine)


@tool
def search(
    connection: SerpConnection,
    query: str,
    location: str | None = None,
    safe: SafeMode = SafeMode.OFF,
    num: int = 10,
    engine: Engine = Engine.GOOGLE,
) -> dict[str, Any]:
    """SerpApi's answer."""
    return search_the_web(
        connection,
        query,
        engine=_text(engine),
        location=location,
        safe=_text(safe) == "active",
        count=int(num),
    )


def _text(choice: Any) -> str:
    return str(getattr(choice, "value", choice)).lower()


__getattr__ = names_of("promptflow.tools.serpapi")
