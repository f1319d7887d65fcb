"""Which prompt of a registry does a node name, and which text is that?

A node names one as `prompts:/name/3`, a version, or `prompts:/name@alias`, the version an alias is at.

The text is fetched once, before the flow is bound, and stays with the flow. A file beside the flow may hold
it already: a run's snapshot has one, so that whoever goes on with the run has the prompts it began with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from promptflow_lite.errors import UserError

__all__ = ["LOCK", "TYPES", "Registered", "Wanted", "locked", "unlock", "wanted"]

LOCK = "prompts.lock.json"
"""The file with the prompts that a flow was given, by what its nodes call them."""
TYPES = ("llm", "prompt", "custom_llm")
"""The types of nodes that have a prompt."""

_SCHEME = "prompts:"
_URI = re.compile(r"prompts:/(?P<name>[\w.-]+)(?:/(?P<version>[1-9]\d*)|@(?P<alias>[\w.-]+))")


@dataclass(frozen=True)
class Wanted:
    """A prompt as a node names it: of one version, or of the version that an alias is at."""

    uri: str
    name: str
    version: int | None
    alias: str | None


@dataclass(frozen=True)
class Registered:
    """A version of a prompt."""

    name: str
    version: int
    text: str
    """A template; of a chat prompt with a line `role:` before each message."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """What was registered with it for the call, `model` and `temperature` and the like: an `llm` node's where
    its own inputs do not say."""

    @property
    def uri(self) -> str:
        """What it is called whatever its aliases are at."""
        return f"{_SCHEME}/{self.name}/{self.version}"


def wanted(path: str | None) -> Wanted | None:
    """The prompt that a node's `source.path` names; `None` if it is a file's.

    Raises:
        UserError: it begins as one and goes on as none (`bad-prompt-uri`).
    """
    if path is None or not path.startswith(_SCHEME):
        return None
    match = _URI.fullmatch(path)
    if match is None:
        raise UserError(
            f"{path!r} names no registered prompt",
            code="bad-prompt-uri",
            hint="write prompts:/name/3 for a version, or prompts:/name@alias",
        )
    version = match["version"]
    return Wanted(path, match["name"], int(version) if version is not None else None, match["alias"])


def locked(prompts: Mapping[str, Registered]) -> bytes:
    """The content of a lock file."""
    held = {uri: asdict(prompt) for uri, prompt in sorted(prompts.items())}
    return json.dumps(held, ensure_ascii=False, indent=2).encode() + b"\n"


def unlock(path: Path) -> dict[str, Registered]:
    """The prompts of a lock file; none if it is not there.

    Raises:
        UserError: it is no lock file (`bad-prompt-lock`).
    """
    if not path.is_file():
        return {}
    try:
        held = json.loads(path.read_bytes())
        return {uri: Registered(**prompt) for uri, prompt in held.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read: {error}",
            code="bad-prompt-lock",
            hint="delete it: the prompts are fetched again",
        ) from error
