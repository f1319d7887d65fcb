"""What is an image made of? A folder with a Dockerfile, requirements, flows, connections; no secrets."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from promptflow_lite.connections.catalogue import DEFAULT
from promptflow_lite.connections.files import write
from promptflow_lite.connections.store import Connections
from promptflow_lite.flow.spec import Flow
from promptflow_lite.packaging import connections as connecting
from promptflow_lite.packaging import contents, needs, own
from promptflow_lite.packaging.connections import Needed
from promptflow_lite.packaging.pins import Pins, pinned
from promptflow_lite.runs.snapshot import digest

__all__ = ["PORT", "Image", "Part", "rendered"]

PORT = 8080
"""Where the container listens."""
_UID = 10001
_KEY = "PF_SERVE_KEY"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A flow of the image."""

    flow: Flow
    name: str = ""
    """What it is called in labels; default: the flow's own name."""
    folder: str = "flows"
    """Where in the image its files are."""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Image:
    """A folder that is being filled.

    Args:
        into: the folder; it is there.
        connections: those of this home.
        model: the embedded model where a connection names none; `None` is the catalogue's default.
        wheel: the wheel of this package to take; default: as it is installed here.
        besides: a folder that no flow takes along.
        say: is told what takes a while.
    """

    def __init__(
        self,
        into: Path,
        *,
        connections: Connections,
        model: str | None = None,
        wheel: Path | None = None,
        besides: Path | None = None,
        say: Callable[[str], None],
    ) -> None:
        self.into = into
        self.notes: list[str] = []
        self.connections = Needed()
        self.pins = Pins([], [], 0)
        self.digests: dict[str, str] = {}
        self._provider = connections
        self._model = model
        self._wheel = wheel
        self._besides = besides
        self._say = say

    def fill(self, name: str, parts: Sequence[Part]) -> list[str]:
        """Copy the flows, their connections and their requirements; the path of each flow in the folder.

        Args:
            name: of the whole, for people.
            parts: the flows.

        Raises:
            UserError: a flow cannot be packed.
        """
        paths, packages, embeds_with = [], set(needs.SERVING), set()
        for part in parts:
            home = self.into / part.folder
            copied = contents.copy(part.flow, home, besides=self._besides)
            paths.append(f"{part.folder}/{copied.source}")
            self.digests[part.name or part.flow.name] = digest(part.flow)
            found = needs.needs_of(part.flow, home)
            packages |= found.packages
            embeds_with |= found.embeds_with
            self.notes += [*copied.notes, *found.notes]
        self.connections = connecting.needed(
            [(part.flow, part.overrides) for part in parts], self._provider, sorted(embeds_with)
        )
        if self.connections.is_local:
            packages.update(needs.LOCAL_MODEL)
        if self.connections.is_entra:
            packages.update(needs.ENTRA)
        self.pins = pinned(packages)
        self.notes += [*self.connections.notes, *self.pins.notes]
        self._write_requirements(name)
        for each, body in self.connections.files.items():
            write(self.into / "connections" / f"{each}.yaml", each, body)
        return paths

    def finish(self, name: str, command: Sequence[str], *, asks_for_key: bool = True) -> None:
        """Write the Dockerfile and what explains it.

        Args:
            name: of the whole, for people, and of the image.
            command: what the container runs.
            asks_for_key: whether callers need a key.
        """
        key = (
            {_KEY: "what callers send as their key: one, or two with a comma between"} if asks_for_key else {}
        )
        facts = {
            "name": name,
            "tag": "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-") or "flow",
            "version": version("promptflow_lite"),
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "made_with": platform.python_version(),
            "digests": self.digests,
            "command": json.dumps(list(command), ensure_ascii=False),
            "port": PORT,
            "uid": _UID,
            "has_wheel": (self.into / "wheels").is_dir(),
            "has_connections": bool(self.connections.files),
            "is_local": self.connections.is_local,
            "model": self.connections.model or self._model or DEFAULT,
            "variables": {**self.connections.variables, **key},
            "asks_for_key": asks_for_key,
            "own": sorted(path.name for path in self.into.iterdir() if path.suffix in (".yml", ".yaml")),
            "bytes": self.pins.bytes,
        }
        for template in ("Dockerfile", ".dockerignore", ".env.example", "README.md"):
            (self.into / template).write_text(rendered(f"{template}.jinja", **facts), encoding="utf-8")

    def about(self) -> dict[str, Any]:
        """What the build's record says."""
        return {
            "promptflow_lite": version("promptflow_lite"),
            "digests": self.digests,
            "packages": len(self.pins.lines),
            "bytes_of_packages": self.pins.bytes,
            "variables": sorted(self.connections.variables),
            "notes": self.notes,
        }

    def _write_requirements(self, name: str) -> None:
        own_line = own.own_requirement(self.into, wheel=self._wheel, say=self._say)
        text = rendered("requirements.txt.jinja", name=name, own=own_line, lines=self.pins.lines)
        (self.into / "requirements.txt").write_text(text, encoding="utf-8")


def rendered(template: str, **values: Any) -> str:
    """A template of ours with its holes filled."""
    environment = Environment(  # noqa: S701  no HTML: Dockerfiles, YAML and Markdown
        loader=PackageLoader("promptflow_lite.packaging"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)
