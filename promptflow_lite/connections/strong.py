"""Which class of their own do tools ask for? Custom connections whose fields are declared by a class.

Prompt flow: core/_connection.py `CustomStrongTypeConnection`. A tool package, or a script, declares

    class MyConnection(CustomStrongTypeConnection):
        api_key: Secret
        api_base: str = "https://..."

and a custom connection becomes one of it where a tool's parameter is annotated so.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from promptflow_lite import aliases
from promptflow_lite.connections.kinds import CustomConnection
from promptflow_lite.errors import UserError, near_miss

__all__ = ["CustomStrongTypeConnection", "as_class", "declared"]


class CustomStrongTypeConnection(CustomConnection):
    """The base of connections that a tool's author declares; fields annotated `Secret` are secrets."""

    def __getattribute__(self, key: str) -> Any:
        # A declared default is an attribute of the class, which would hide the value of this very connection.
        if not key.startswith("_") and key in _fields_of_class(type(self)):
            values = super().__getattribute__("_values")
            if key in values:
                return values[key]
        return super().__getattribute__(key)

    @classmethod
    def missing(cls, fields: Mapping[str, Any]) -> list[str]:
        """The declared fields without a default that neither `configs` nor `secrets` sets."""
        given = {**(fields.get("configs") or {}), **(fields.get("secrets") or {})}
        return [name for name in _fields_of_class(cls) if name not in given and not hasattr(cls, name)]


def _fields_of_class(kind: type) -> dict[str, bool]:
    """The fields that a class declares, each with whether it is a secret; those of its bases first."""
    found: dict[str, bool] = {}
    for base in reversed(kind.__mro__):
        if base is not CustomStrongTypeConnection and issubclass(base, CustomStrongTypeConnection):
            found |= {name: _is_secret(said) for name, said in vars(base).get("__annotations__", {}).items()}
    return found


def declared(body: Mapping[str, Any]) -> type[CustomStrongTypeConnection] | None:
    """The class that a custom connection's body names; `None` if it names none.

    Raises:
        ImportError: its module cannot be imported.
        UserError: the module has no such class (`bad-connection`).
    """
    name, module = body.get("custom_type"), body.get("module")
    if not name or not module:
        return None
    aliases.install()
    kinds = {
        key: value
        for key, value in vars(importlib.import_module(str(module))).items()
        if isinstance(value, type) and issubclass(value, CustomStrongTypeConnection)
    }
    if name not in kinds:
        raise UserError(
            f"{module} has no connection class {name!r}",
            code="bad-connection",
            hint=near_miss(str(name), kinds),
        )
    return kinds[str(name)]


def as_class(
    connection: CustomConnection, kind: type[CustomStrongTypeConnection]
) -> CustomStrongTypeConnection:
    """The custom connection as one of `kind`; what it does not set has the default that `kind` declares.

    Raises:
        ValueError: a declared field has neither a value nor a default.
    """
    values = dict(connection)
    missing = kind.missing({"configs": values})
    if missing:
        raise ValueError(
            f"connection {connection.name!r} as {kind.__name__}: {', '.join(map(repr, missing))} is not set"
        )
    defaults = {
        name: getattr(kind, name)
        for name in _fields_of_class(kind)
        if name not in values and hasattr(kind, name)
    }
    secret = {name for name, is_secret in _fields_of_class(kind).items() if is_secret} | set(
        connection.secrets
    )
    everything = {**defaults, **values}
    return kind(
        connection.name,
        configs={key: value for key, value in everything.items() if key not in secret},
        secrets={key: value for key, value in everything.items() if key in secret},
    )


def _is_secret(annotation: Any) -> bool:
    said = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return said.rpartition(".")[2] == "Secret"
