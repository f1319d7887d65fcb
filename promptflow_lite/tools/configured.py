"""Which connection does a prompt's model configuration mean? A named one, one spelled out, the environment's.

Prompt flow: core/_prompty_utils.py `convert_model_configuration_to_connection`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from promptflow_lite.connections import files
from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.connections.configurations import ModelConfiguration
from promptflow_lite.connections.store import default_connection
from promptflow_lite.errors import UserError

__all__ = ["connection_of", "resolved"]

_TYPES = {
    "azure_openai": "azure_open_ai",
    "azure_open_ai": "azure_open_ai",
    "openai": "open_ai",
    "open_ai": "open_ai",
    "serverless": "serverless",
    "local": "local",
}
_VARIABLES = {
    "open_ai": {"api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL", "organization": "OPENAI_ORG_ID"},
    "azure_open_ai": {
        "api_key": "AZURE_OPENAI_API_KEY",
        "api_base": "AZURE_OPENAI_ENDPOINT",
        "api_version": "OPENAI_API_VERSION",
    },
}
"""What a configuration that says nothing takes from the environment, as in Prompt flow."""
_ENV = re.compile(r"\$\{env:(.*)\}")


def connection_of(configuration: Any, connections: ConnectionProvider) -> tuple[Connection, str | None]:
    """The connection, and why it is that one where the configuration does not say.

    Args:
        configuration: a mapping as it stands in a file, a model configuration, or a connection.
        connections: where names are looked up.

    Raises:
        UserError: there is no such connection, a variable is not set, or fields are missing.
    """
    if isinstance(configuration, Connection):
        return configuration, None
    if isinstance(configuration, ModelConfiguration):
        fields: dict[str, Any] = {"type": configuration._type, **vars(configuration)}
        fields.pop("_type", None)
    else:
        fields = dict(configuration or {})
    named = fields.get("connection")
    if isinstance(named, Connection):
        return named, None
    if named:
        return connections.get(resolved(named)), None
    kind = _TYPES.get(str(fields.get("type")))
    given = {
        ("api_base" if key == "azure_endpoint" else key): resolved(value)
        for key, value in fields.items()
        if value and key not in ("type", "name", "connection", "model", "azure_deployment")
    }
    if kind is None and given:
        kind = "azure_open_ai" if "api_base" in given else "open_ai"
    if kind is None:
        return default_connection(connections)
    return _inline(kind, given, connections)


def _inline(
    kind: str, given: Mapping[str, Any], connections: ConnectionProvider
) -> tuple[Connection, str | None]:
    """The connection that a configuration spells out, or that the environment does where it says nothing."""
    if kind == "local":
        return connections.get("local"), None
    if not given:
        given = {
            key: os.environ[variable]
            for key, variable in _VARIABLES.get(kind, {}).items()
            if os.environ.get(variable)
        }
        if not given:
            return _first_of(kind, connections)
    body: dict[str, Any] = {"type": kind, **given}
    if kind == "azure_open_ai" and "api_key" not in body:
        body["auth_mode"] = "meid_token"
    complaints = files.validate(body)
    if complaints:
        raise UserError("; ".join(message for _, message, _ in complaints), code="bad-connection")
    return files.make("", body, {}), None


def _first_of(kind: str, connections: ConnectionProvider) -> tuple[Connection, str]:
    """The first connection of that kind, as an llm node that names none takes it."""
    connection, why = default_connection(connections)
    if kind == connection.TYPE:
        return connection, why
    variables = ", ".join(_VARIABLES.get(kind, {}).values())
    raise UserError(
        f"the configuration says no more than type {kind!r}, and there is no connection of that type",
        code="connection-not-found",
        hint=f"name a connection in it, or set {variables}",
    )


def resolved(value: Any) -> Any:
    """`value` with each text `${env:NAME}` in it replaced by the variable.

    Raises:
        UserError: it is not set.
    """
    if isinstance(value, dict):
        return {key: resolved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item) for item in value]
    match = _ENV.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    if match[1] not in os.environ:
        raise UserError(f"the environment variable {match[1]!r} is not set", code="unset-variable")
    return os.environ[match[1]]
