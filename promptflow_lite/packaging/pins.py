"""Which versions make an environment like this one? The packages that are named, and all that they need.

Requirements and markers: PEP 508. The environment that is described is Linux with this Python, wherever it is
described.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["Pins", "pinned"]

_LINUX = {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"}


class Pins(NamedTuple):
    """Versions."""

    lines: list[str]
    """`name==version`, sorted."""
    notes: list[str]
    """For people: what is needed and is not installed here."""
    bytes: int
    """What the files of these packages take here."""


def pinned(names: Iterable[str]) -> Pins:
    """The versions, in this environment, of packages and of what they need.

    Args:
        names: as in a requirements file, extras too; versions that they ask for are not looked at.
    """
    found: dict[str, Distribution] = {}
    missing: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(name), "") for name in names]
    while waiting:
        asked, by = waiting.pop()
        name = canonicalize_name(asked.name)
        fresh = [extra for extra in ("", *asked.extras) if (name, extra) not in seen]
        seen.update((name, extra) for extra in fresh)
        if not fresh:
            continue
        try:
            here = found.setdefault(name, distribution(asked.name))
        except PackageNotFoundError:
            missing[name] = by
            continue
        for text in here.requires or ():
            needs = Requirement(text)
            if any(_applies(needs, extra) for extra in fresh):
                waiting.append((needs, here.name))
    lines = sorted(f"{name}=={here.version}" for name, here in found.items())
    notes = [
        f"{name} is not installed here, and not in the requirements" + (f" ({by} needs it)" if by else "")
        for name, by in sorted(missing.items())
    ]
    return Pins(lines, notes, sum(_size(here) for here in found.values()))


def _applies(needs: Requirement, extra: str) -> bool:
    return needs.marker is None or needs.marker.evaluate({**_LINUX, "extra": extra})


def _size(here: Distribution) -> int:
    return sum(file.size or 0 for file in here.files or ())
