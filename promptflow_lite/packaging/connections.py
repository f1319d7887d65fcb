"""Which connections does a flow need elsewhere, and which variables bring their secrets there?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptflow_lite.connections.files import Body
from promptflow_lite.connections.kinds import KINDS
from promptflow_lite.connections.store import AZURE_NAME, OPENAI_NAME, Connections, default_connection
from promptflow_lite.errors import ConnectionNotFound
from promptflow_lite.flow.prompty import Prompt
from promptflow_lite.flow.spec import Flow, Node

__all__ = ["Needed", "needed"]

_VARIABLE = re.compile(r"\$\{env:([^}]*)\}")
_FIELD = re.compile(r"\$\{([^.{}]+)\.([^{}]+)\}")
_LOCAL = "local"
_USUAL = {
    OPENAI_NAME: ("OPENAI_API_KEY",),
    AZURE_NAME: ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
}
"""The variables that make a connection of these names wherever they are set (`connections.store`)."""
_NO_ADDRESS = ("type", "name", "connection", "model", "azure_deployment")
"""What a prompty's configuration may say without saying where the model is (`tools.configured`)."""


@dataclass(kw_only=True)
class Needed:
    """The connections of flows, as they may leave home."""

    files: dict[str, Body] = field(default_factory=dict)
    """By name, what stands in a file: every secret is `${env:NAME}`."""
    variables: dict[str, str] = field(default_factory=dict)
    """Environment variables to set, each with what it is for."""
    is_local: bool = False
    """Whether the embedded model answers."""
    model: str | None = None
    """The embedded model that a connection of type `local` names."""
    is_entra: bool = False
    """Whether Microsoft Entra ID signs in."""
    notes: list[str] = field(default_factory=list)
    """For people."""


def needed(
    flows: Iterable[tuple[Flow, Mapping[str, Mapping[str, Any]]]],
    connections: Connections,
    more: Iterable[str] = (),
) -> Needed:
    """What flows connect to.

    Args:
        flows: with the overrides of their nodes.
        connections: those of this home.
        more: names besides, such as those that embedded an index.
    """
    found = Needed()
    names: dict[str | None, None] = dict.fromkeys(more)
    for flow, overrides in flows:
        names |= dict.fromkeys(_named(flow, overrides, connections))
        for node in flow.nodes:
            if isinstance(node.settings, Prompt) and isinstance(node.settings.configuration, Mapping):
                for variable, key in _variables(node.settings.configuration):
                    found.variables[variable] = f"{key} of the model that {flow.name!r} names"
                found.notes.extend(_written_out(flow, node.settings.configuration))
    if None in names:
        chosen, why = default_connection(connections)
        names[chosen.name or _LOCAL] = None
        found.notes.append(f"a node names no connection: {chosen.name or _LOCAL!r} answers, as here ({why})")
    for name in names:
        if name is not None:
            _add(found, name, connections)
    return found


def _add(found: Needed, name: str, connections: Connections) -> None:
    try:
        body, where = connections.describe(name)
    except ConnectionNotFound:
        usual = _USUAL.get(name, (re.sub(r"[^A-Z0-9]", "_", f"{name}_API_KEY".upper()),))
        found.variables.update(dict.fromkeys(usual, f"of the connection {name!r}"))
        more = "" if name in _USUAL else f", and {name}'s other fields,"
        found.notes.append(f"no connection {name!r} is kept here: set {', '.join(usual)}{more} there")
        return
    if body.get("auth_mode") == "meid_token":
        found.is_entra = True
    if body["type"] == _LOCAL:
        found.is_local = True
        found.model = body.get("model") or found.model
    safe = _without_secrets(name, body)
    for variable, key in _variables(safe):
        found.variables[variable] = f"{key} of the connection {name!r}"
    if where not in ("environment", "built in"):
        found.files[name] = safe


def _without_secrets(name: str, body: Body) -> Body:
    """The same connection with a variable for each secret that stands in it as it is."""

    def variable(key: str, value: Any) -> Any:
        is_one = isinstance(value, str) and _VARIABLE.fullmatch(value.strip())
        return value if is_one else "${env:" + re.sub(r"[^A-Z0-9]", "_", f"{name}_{key}".upper()) + "}"

    if body["type"] == "custom":
        secrets = {key: variable(key, value) for key, value in (body.get("secrets") or {}).items()}
        return {**body, "secrets": secrets}
    secret = {f.name for f in KINDS[body["type"]].FIELDS if f.secret}
    return {key: variable(key, v) if key in secret and v is not None else v for key, v in body.items()}


def _variables(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in body.items():
        if isinstance(value, Mapping):
            yield from _variables(value)
        elif isinstance(value, str):
            yield from ((name, key) for name in _VARIABLE.findall(value))


def _written_out(flow: Flow, configuration: Mapping[str, Any]) -> Iterator[str]:
    """What a flow's own file says of secrets that stand in it as they are: it goes along as it is."""
    for key, value in configuration.items():
        if key.endswith("_key") and isinstance(value, str) and value and not _VARIABLE.search(value):
            yield (
                f"{Path(flow.document.file).name} holds the {key} itself, for all who have the package: "
                f"write ${{env:NAME}} instead, or name a connection"
            )


def _named(
    flow: Flow, overrides: Mapping[str, Mapping[str, Any]], connections: Connections
) -> Iterator[str | None]:
    """The names that a flow mentions; `None` where a node takes the first connection there is."""
    known = set(connections.names()) - {_LOCAL}
    for node in flow.nodes:
        changed = overrides.get(node.name, {})
        yield from _of_node(node, changed, known)
    for value in flow.environment_variables.values():
        yield from (name for name, _ in _FIELD.findall(str(value)) if name != "env")
    for value in (*flow.init_values.values(), *(spec.default for spec in flow.inputs.values())):
        yield from _of_value(value, known)


def _of_node(node: Node, changed: Mapping[str, Any], known: set[str]) -> Iterator[str | None]:
    named = changed.get("connection", node.connection)
    if isinstance(named, Mapping):
        named = named.get("connection")
    spelled_out = False
    if isinstance(node.settings, Prompt) and named is None:
        configuration = node.settings.configuration
        fields = configuration if isinstance(configuration, Mapping) else {}
        named = fields.get("connection")
        spelled_out = any(key not in _NO_ADDRESS for key in fields)
    if isinstance(named, str) and named:
        yield named
    elif node.type in ("llm", "prompty") and not spelled_out:
        yield None
    for key, value in {**node.inputs, **changed}.items():
        if key == "connection" and isinstance(value, str) and value:
            yield value
        else:
            yield from _of_value(value, known)


def _of_value(value: Any, known: set[str]) -> Iterator[str]:
    """A connection's name as a literal, or as the `connection` of a mapping."""
    if isinstance(value, str) and value in known:
        yield value
    elif isinstance(value, Mapping) and isinstance(value.get("connection"), str):
        yield value["connection"]
