"""What is a connection? An endpoint and its secrets, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

__all__ = ["Connection", "ConnectionProvider", "Field"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a connection kind."""

    name: str
    required: bool = False
    secret: bool = False
    default: Any = None


class Connection(Mapping[str, Any]):
    """An endpoint and its secrets.

    Fields read as attributes and as keys, so that `conn.api_key`, `conn["api_key"]` and `**conn` work as they do in
    Prompt flow. `repr` and `str` show no secret.
    """

    TYPE: ClassVar[str] = ""
    """The `type` of its YAML."""
    FIELDS: ClassVar[tuple[Field, ...]] = ()

    def __init__(self, name: str = "", **values: Any) -> None:
        self.name = name
        known = {f.name: values.get(f.name, f.default) for f in self.FIELDS}
        self._values: dict[str, Any] = {**known, **values}

    @property
    def secrets(self) -> dict[str, Any]:
        """The secret fields that are set."""
        return {f.name: self._values[f.name] for f in self.FIELDS if f.secret and self._values[f.name] is not None}

    @property
    def configs(self) -> dict[str, Any]:
        """The fields that are no secret."""
        return {key: value for key, value in self._values.items() if key not in self.secrets}

    def __getattr__(self, key: str) -> Any:
        if not key.startswith("_") and key in self._values:
            return self._values[key]
        raise AttributeError(f"connection {self.name!r} of type {self.TYPE!r} has no field {key!r}")

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = {key: "***" if key in self.secrets else value for key, value in self._values.items() if value}
        return f"{type(self).__name__}(name={self.name!r}, {', '.join(f'{k}={v!r}' for k, v in shown.items())})"


class ConnectionProvider(Protocol):
    """Finds connections."""

    def get(self, name: str) -> Connection:
        """The connection of that name.

        Raises:
            ConnectionNotFound: there is none.
        """
        ...

    def names(self) -> list[str]:
        """The names that `get` knows, sorted."""
        ...
