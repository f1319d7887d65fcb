"""What does a file say of a connection that was made in Python? Its body, and the file is written."""

from __future__ import annotations

from typing import Any

from promptflow_lite.connections import files
from promptflow_lite.connections.base import Connection
from promptflow_lite.connections.kinds import CustomConnection
from promptflow_lite.connections.store import Connections
from promptflow_lite.connections.strong import CustomStrongTypeConnection
from promptflow_lite.errors import UserError

__all__ = ["body_of", "keep"]


def body_of(connection: Connection) -> files.Body:
    """The body of a connection; plain texts, secrets too, as a file holds them."""
    if isinstance(connection, CustomConnection):
        body: dict[str, Any] = {
            "type": "custom",
            "configs": dict(connection.configs),
            "secrets": {name: str(value) for name, value in connection.secrets.items()},
        }
        if isinstance(connection, CustomStrongTypeConnection):
            body |= {"custom_type": type(connection).__name__, "module": type(connection).__module__}
        elif connection.custom_type:
            body |= {"custom_type": connection.custom_type, "module": connection.custom_module}
        return body
    fields = {field.name: getattr(connection, field.name) for field in connection.FIELDS}
    defaults = {field.name: field.default for field in connection.FIELDS}
    said = {name: value for name, value in fields.items() if value is not None and value != defaults[name]}
    return {"type": connection.TYPE} | {
        name: str(value) if isinstance(value, str) else value for name, value in said.items()
    }


def keep(connection: Connection, store: Connections) -> bool:
    """Write the file of a connection; whether it replaced one of that name.

    Raises:
        UserError: it has no name (`bad-name`), lacks a field, or holds a placeholder where a value must be
            (`bad-connection`).
    """
    body = body_of(connection)
    values = {**body, **(body.get("secrets") or {})}
    left = [key for key, value in values.items() if value == files.ASK or value in tuple(files.KEEP)]
    if left:
        raise UserError(
            f"connection {connection.name!r}: {', '.join(left)} holds a placeholder and no value",
            code="bad-connection",
        )
    complaints = files.validate(body)
    if complaints:
        raise UserError(
            "\n".join(f"connection {connection.name!r}: {message}" for _, message, _ in complaints),
            code="bad-connection",
        )
    path = store.path_of(connection.name)
    existed = path.exists()
    files.write(path, connection.name, body)
    return existed
