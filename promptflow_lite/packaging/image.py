"""What is an image made of? A folder with a Dockerfile, requirements, flows, connections; no secrets."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from promptflow_lite.connections.catalogue import DEFAULT
from promptflow_lite.connections.store import Connections
from promptflow_lite.packaging import own
from promptflow_lite.packaging.connections import Needed
from promptflow_lite.packaging.gather import Part, gather
from promptflow_lite.packaging.needs import SERVING
from promptflow_lite.packaging.pins import Pins, pinned
from promptflow_lite.packaging.plan import Plan

__all__ = ["PORT", "Image", "rendered"]

PORT = 8080
"""Where the container listens."""
_UID = 10001
_KEY = "PF_SERVE_KEY"


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
        found = gather(parts, self.into, connections=self._provider, besides=self._besides)
        self.connections = found.connections
        self.digests = found.digests
        self.pins = pinned({*SERVING, *found.packages})
        self.notes = [*found.notes, *self.pins.notes]
        self._write_requirements(name)
        return found.sources

    def finish(self, name: str, command: Sequence[str], *, asks_for_key: bool = True) -> None:
        """Write the Dockerfile and what explains it.

        Args:
            name: of the whole, for people, and of the image.
            command: what the container runs.
            asks_for_key: whether callers need a key.
        """
        facts = {
            "name": name,
            "tag": self.tag(name),
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
            "variables": self._variables(asks_for_key),
            "asks_for_key": asks_for_key,
            "own": sorted(path.name for path in self.into.iterdir() if path.suffix in (".yml", ".yaml")),
            "bytes": self.pins.bytes,
        }
        for template in ("Dockerfile", ".dockerignore", ".env.example", "README.md"):
            (self.into / template).write_text(rendered(f"{template}.jinja", **facts), encoding="utf-8")

    def plan(self, name: str, image: str, *, processes: int, asks_for_key: bool) -> Plan:
        """What the container needs to run.

        Args:
            name: of the whole.
            image: what the image is called.
            processes: interpreters in it.
            asks_for_key: whether callers need a key.
        """
        return Plan(
            name=self.tag(name),
            image=image,
            port=PORT,
            user=_UID,
            variables=self._variables(asks_for_key),
            processes=processes,
            is_local=self.connections.is_local,
        )

    def _variables(self, asks_for_key: bool) -> dict[str, str]:
        key = {
            _KEY: "callers' key, 16 characters or more (pf flow key makes one), or two with a comma between"
        }
        return {**self.connections.variables, **(key if asks_for_key else {})}

    @staticmethod
    def tag(name: str) -> str:
        """What the image is called: lower case, as Docker wants it."""
        return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "flow"

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
