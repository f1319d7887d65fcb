"""Which endpoints of a kind does a home keep? Their folders by name: listed, found, made, removed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from promptflow_lite.errors import UserError, near_miss
from promptflow_lite.serving.kept import Folder
from promptflow_lite.serving.names import check_name

__all__ = ["Shelf"]

_Kept = TypeVar("_Kept", bound=Folder[Any])


class Shelf(Generic[_Kept]):
    """All endpoints of one kind.

    Args:
        folder: where their folders are.
        make: gives an endpoint by its folder.
        command: the one that makes and changes them, for messages.
    """

    def __init__(self, folder: Path, make: Callable[[Path], _Kept], command: str) -> None:
        self._folder = folder
        self._make = make
        self._command = command

    def names(self) -> list[str]:
        """Those there are, sorted."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if (path / "endpoint.json").is_file())

    def all(self) -> list[_Kept]:
        """Each of them, by name."""
        return [self._make(self._folder / name) for name in self.names()]

    def get(self, name: str) -> _Kept:
        """The endpoint of that name.

        Raises:
            UserError: there is none (code `endpoint-not-found`).
        """
        names = self.names()
        if name not in names:
            exist = f"there are: {', '.join(names)}" if names else "there are none"
            hint = near_miss(name, names) or f"{self._command} create --name {name}  makes it"
            raise UserError(f"no endpoint is named {name!r}; {exist}", code="endpoint-not-found", hint=hint)
        return self._make(self._folder / name)

    def create(self, name: str, body: Mapping[str, Any]) -> _Kept:
        """A new endpoint.

        Args:
            name: of the endpoint.
            body: its state.

        Raises:
            UserError: there is one of that name (code `endpoint-exists`), or the name cannot be one.
        """
        check_name(name, "an endpoint")
        if name in self.names():
            hint = f"{self._command} update --name {name}  changes it"
            raise UserError(f"endpoint {name!r} is there already", code="endpoint-exists", hint=hint)
        kept = self._make(self._folder / name)
        kept.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept.write(body)
        return kept

    def delete(self, name: str) -> None:
        """Remove an endpoint with all that is kept of it.

        Raises:
            UserError: there is none, or it is being served (code `endpoint-busy`).
        """
        kept = self.get(name)
        with kept.serving():
            kept.state.unlink()
            shutil.rmtree(kept.folder, ignore_errors=True)
