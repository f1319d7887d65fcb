"""What can a flow be packed as? A plugin of `promptflow_lite.formats`, and what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from promptflow_lite.connections.store import Connections
from promptflow_lite.flow.spec import Flow

__all__ = ["Asked", "Built", "Pack"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A flow to pack, and how."""

    flow: Flow
    """Checked, its variant chosen."""
    connections: Connections
    """Those of this home; their secrets stay here."""
    say: Callable[[str], None]
    """Is told what takes a while."""
    output: Path | None = None
    """The folder; an earlier build there is replaced."""
    model: str | None = None
    """The embedded model where a connection names none; `None` is the catalogue's default."""
    variant: str | None = None
    """The variant to serve, as it is typed."""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of the nodes' connections."""
    wheel: Path | None = None
    """The wheel of this package to take along."""
    register: str | None = None
    """The name to register it under, where there is a registry."""
    alias: str | None = None
    """What its version is called there."""


class Built(NamedTuple):
    """What was made."""

    where: str
    """A path, or the address of a registered version."""
    about: dict[str, Any]
    """The record."""
    notes: list[str]
    """For people: what to know."""
    next: list[str]
    """For people: commands to go on with."""


class Pack(Protocol):
    """What the group holds."""

    def __call__(self, asked: Asked) -> Built:
        """Pack a flow.

        Raises:
            UserError: it cannot be packed so.
        """
        ...
