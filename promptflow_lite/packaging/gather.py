"""What do flows need elsewhere? Their files and connections in a folder, and the packages by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from promptflow_lite.connections.files import write
from promptflow_lite.connections.store import Connections
from promptflow_lite.flow.registered import LOCK, locked, unlock
from promptflow_lite.flow.spec import Flow
from promptflow_lite.packaging import connections as connecting
from promptflow_lite.packaging import contents, needs
from promptflow_lite.packaging.connections import Needed
from promptflow_lite.runs.snapshot import digest
from promptflow_lite.tools.registered import fetched

__all__ = ["Gathered", "Part", "gather"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A flow that goes along."""

    flow: Flow
    name: str = ""
    """What it is called in labels; default: the flow's own name."""
    folder: str = "flows"
    """Where its files go."""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Gathered(NamedTuple):
    """What is in the folder, and what is not."""

    sources: list[str]
    """The path of each flow in the folder."""
    packages: set[str]
    """What the flows need besides `needs.SERVING`."""
    connections: Needed
    digests: dict[str, str]
    """The SHA-256 of each flow, as its runs record it."""
    notes: list[str]
    """For people."""


def gather(
    parts: Sequence[Part], into: Path, *, connections: Connections, besides: Path | None = None
) -> Gathered:
    """Copy flows and their connections, these without secrets.

    Args:
        parts: the flows.
        into: the folder.
        connections: those of this home.
        besides: a folder that no flow takes along.

    Raises:
        FlowError: a registered prompt of a flow cannot be had.
        UserError: a flow cannot be packed.
    """
    parts = [replace(part, flow=fetched(part.flow)) for part in parts]
    sources, packages, embeds_with, notes = [], set(), set(), []
    for part in parts:
        home = into / part.folder
        copied = contents.copy(part.flow, home, besides=besides)
        sources.append(f"{part.folder}/{copied.source}")
        found = needs.needs_of(part.flow, home)
        packages |= found.packages
        embeds_with |= found.embeds_with
        notes += [*copied.notes, *found.notes, *_pin_prompts(part.flow, (home / copied.source).parent)]
    named = connecting.needed(
        [(part.flow, part.overrides) for part in parts], connections, sorted(embeds_with)
    )
    packages.update(needs.LOCAL_MODEL if named.is_local else ())
    packages.update(needs.ENTRA if named.is_entra else ())
    for name, body in named.files.items():
        write(into / "connections" / f"{name}.yaml", name, body)
    digests = {part.name or part.flow.name: digest(part.flow) for part in parts}
    return Gathered(sources, packages, named, digests, [*notes, *named.notes])


def _pin_prompts(flow: Flow, folder: Path) -> list[str]:
    """Keep the registered prompts beside the flow, where it needs no registry; what to know of them."""
    if not flow.prompts:
        return []
    path = folder / LOCK
    path.write_bytes(locked({**unlock(path), **flow.prompts}))
    path.chmod(0o644)
    return [
        f"{name} is {prompt.uri} and stays so here"
        for name, prompt in sorted(flow.prompts.items())
        if name != prompt.uri
    ]
