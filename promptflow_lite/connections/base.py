"""What is a connection? An endpoint and its secrets, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

__all__ = ["Connection", "ConnectionProvider", "Field", "Secret", "scrub"]

_SHORTEST_SECRET = 4
"""A shorter text is likely a part of other words."""


class Secret(str):
    """A text whose `repr` is `***`. It is the true text everywhere else, so that clients can send it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


def scrub(text: str, secrets: Iterable[Any]) -> str:
    """`text` with every secret replaced by `***`.

    >>> scrub("Incorrect API key provided: sk-12345", ["sk-12345"])
    'Incorrect API key provided: ***'
    """
    for secret in sorted((str(s) for s in secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a connection kind."""

    name: str
    required: bool = False
    secret: bool = False
    default: Any = None
    is_ours: bool = False
    """Not Prompt flow's: left out of `**connection`, which goes to clients that do not know it."""


class Connection(Mapping[str, Any]):
    """An endpoint and its secrets.

    Fields read as attributes and as keys, so that `conn.api_key`, `conn["api_key"]` and `**conn` work as they
    do in Prompt flow. `repr` and `str` show no secret.
    """

    TYPE: ClassVar[str] = ""
    """The `type` of its YAML."""
    FIELDS: ClassVar[tuple[Field, ...]] = ()

    def __init__(self, name: str = "", **values: Any) -> None:
        self.name = name
        known = {f.name: values.get(f.name, f.default) for f in self.FIELDS}
        self._values: dict[str, Any] = {**known, **values}
        for field in self.FIELDS:
            if field.secret and isinstance(self._values[field.name], str):
                self._values[field.name] = Secret(self._values[field.name])

    @classmethod
    def missing(cls, fields: Mapping[str, Any]) -> list[str]:
        """The required fields that `fields` does not set."""
        return [f.name for f in cls.FIELDS if f.required and not fields.get(f.name)]

    @property
    def secrets(self) -> dict[str, Any]:
        """The secret fields that are set, by name."""
        return {
            f.name: self._values[f.name] for f in self.FIELDS if f.secret and self._values[f.name] is not None
        }

    @property
    def configs(self) -> dict[str, Any]:
        """The fields that are no secret."""
        return {key: value for key, value in self._values.items() if key not in self.secrets}

    @property
    def type(self) -> str:
        """Prompt flow's word for the kind, as in `AzureOpenAI`."""
        return self.__class__.__name__.removesuffix("Connection")

    @property
    def module(self) -> str:
        """Where Prompt flow's users import the class from."""
        return "promptflow.connections"

    def __setattr__(self, key: str, value: Any) -> None:
        field = next((f for f in self.FIELDS if f.name == key), None)
        if field is None:
            super().__setattr__(key, value)
        else:
            self._values[key] = Secret(value) if field.secret and isinstance(value, str) else value

    def __getattr__(self, key: str) -> Any:
        if not key.startswith("_") and key in self._values:
            return self._values[key]
        raise AttributeError(f"connection {self.name!r} of type {self.TYPE!r} has no field {key!r}")

    def _to_dict(self) -> dict[str, Any]:
        """Prompt flow's record of a connection, secrets hidden; private there too, and printed by flows."""
        shown = {key: "******" if key in self.secrets else self[key] for key in self}
        return {"name": self.name, "type": self.TYPE, "module": self.module, **shown}

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        ours = {f.name for f in self.FIELDS if f.is_ours}
        return iter([key for key in self._values if key not in ours])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        shown = {key: "***" if key in self.secrets else value for key, value in self._values.items() if value}
        return (
            f"{type(self).__name__}(name={self.name!r}, {', '.join(f'{k}={v!r}' for k, v in shown.items())})"
        )


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
