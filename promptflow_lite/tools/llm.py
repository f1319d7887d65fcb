"""What does an llm node say of its call? Its connection, prompt and parameters, read once for all lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_lite.connections.base import Connection, ConnectionProvider
from promptflow_lite.connections.files import make as make_connection
from promptflow_lite.connections.files import validate
from promptflow_lite.connections.kinds import is_language_model
from promptflow_lite.connections.store import default_connection
from promptflow_lite.errors import Diagnostic, FlowError, UserError
from promptflow_lite.flow.parameters import takes_prompt
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.prompts import template as text_template
from promptflow_lite.prompts.chat import compile_chat
from promptflow_lite.prompts.quotation import without_chat_format
from promptflow_lite.tools.caller import Caller, Compose
from promptflow_lite.tools.endpoint import model_of, warmers_of
from promptflow_lite.tools.parameters import CHAT, COMPLETION, DEFAULTS, MODEL_NAMES, Parameter
from promptflow_lite.tools.place import Place, place_of
from promptflow_lite.tools.prompt import template_of
from promptflow_lite.tools.tool import Made, Tool

__all__ = ["closed", "make"]


def make(node: Node, flow: Flow, connections: ConnectionProvider) -> Made:
    """The tool of an llm node.

    Raises:
        FlowError: everything that is wrong with its prompt, its parameters and its connection.
    """
    at = place_of(node, flow)
    api = node.api or "chat"
    known = {"chat": CHAT, "completion": COMPLETION}.get(api)
    if known is None:
        raise at.error("unknown-api", f"api is 'chat' or 'completion', got {api!r}", "api")
    connection, why = _connection(node, connections, at)
    compose, variables = _compose(node, flow, api, connection.TYPE)
    fixed, moving, complaints = _parameters(node, known, variables, _model_name(node, connection), at)
    complaints += _model_complaints(node, connection, at)
    if complaints:
        raise FlowError(complaints)
    model = model_of(connection, _literal_model(node, connection))
    caller = Caller(
        connection=connection,
        api=api,
        compose=compose,
        fixed=_with_defaults(api, fixed, node, connection),
        moving=moving,
        parameters=frozenset((*known, *MODEL_NAMES)),
        model=model,
    )
    tool = Tool(
        node.name, caller, {}, mode="async", accepts_extra=True, description=f"{api} of a language model"
    )
    shown = f" ({model})" if model else ""
    return Made(
        tool,
        notes=(f"connection {connection.name!r}{shown}: {why}",) if why else (),
        warmers=warmers_of(connection, model),
    )


def _connection(node: Node, connections: ConnectionProvider, at: Place) -> tuple[Connection, str | None]:
    """The node's connection, and why it is that one where the node names none."""
    named = node.connection
    try:
        if named is None:
            return default_connection(connections)
        connection = connections.get(named) if isinstance(named, str) else _inline(named)
    except UserError as error:
        code = "unknown-connection" if error.code == "connection-not-found" else error.code
        raise at.error(code, error.message, "connection", hint=error.hint) from error
    if not is_language_model(connection):
        message = f"connection {connection.name!r} of type {connection.TYPE!r} has no language model"
        raise at.error("wrong-connection", message, "connection")
    return connection, None


def _inline(body: Mapping[str, Any]) -> Connection:
    """A connection that is written in the flow, as prompty files do."""
    complaints = validate(body)
    if complaints:
        raise UserError("; ".join(message for _, message, _ in complaints), code="bad-connection")
    return make_connection("", body, {})


def _compose(node: Node, flow: Flow, api: str, kind: str) -> tuple[Compose, frozenset[str]]:
    """What makes the prompt of the variables, and their names. `kind` is the connection's type.

    For Azure's chat the text of a list is that of its items, a line each (Prompt flow: aoai.py
    `convert_to_chat_list`); for the others it is Python's.

    An input named `prompt` takes the place of the template (`flow.parameters.takes_prompt`): a literal is a
    template itself; the text of another node is sent with its roles, and not read as a template once more.
    """
    text, file = template_of(node, flow)
    if takes_prompt(node.inputs, text_template.variables(text)):
        given = node.inputs["prompt"]
        text = given if isinstance(given, str) else "{{ prompt }}"
    if api == "completion":
        plain = text_template.compile(text, file)
        return (lambda values: {"prompt": plain.render(values)}), frozenset(plain.variables)
    chat = compile_chat(text, file, lists_as_lines=kind == "azure_open_ai")

    def messages(values: Mapping[str, Any]) -> dict[str, Any]:
        return {"messages": [message.to_openai() for message in chat.render(values)]}

    def local_messages(values: Mapping[str, Any]) -> dict[str, Any]:
        return {"messages": [closed(message.to_openai()) for message in chat.render(values)]}

    return local_messages if kind == "local" else messages, frozenset(chat.variables)


def closed(message: dict[str, Any]) -> dict[str, Any]:
    """The message for the embedded model's server, which would take `<|im_end|>` in it for its end."""
    content = message["content"]
    if isinstance(content, str):
        return message | {"content": without_chat_format(content)}
    parts = [
        part | {"text": without_chat_format(part["text"])} if "text" in part else part for part in content
    ]
    return message | {"content": parts}


def _parameters(
    node: Node, known: Mapping[str, Parameter], variables: frozenset[str], named: str | None, at: Place
) -> tuple[dict[str, Any], dict[str, Parameter], list[Diagnostic]]:
    """The literal parameters, read; how to read those that come from elsewhere; and what is wrong."""
    fixed: dict[str, Any] = {}
    moving: dict[str, Parameter] = {}
    complaints = [
        at.complaint(
            "reserved-name",
            f"the template reads {name!r}, which is a parameter of the call; give the variable another name",
            "source",
        )
        for name in sorted(variables.intersection((*known, *MODEL_NAMES)))
    ]
    for name, value in node.inputs.items():
        read = str if name in MODEL_NAMES else known.get(name)
        if read is None:
            continue
        if name in MODEL_NAMES and name != named:
            continue
        if isinstance(value, Ref):
            moving[name] = read
        elif value is not None and value != "":
            try:
                fixed[name] = read(value)
            except ValueError as error:
                complaints.append(at.complaint("wrong-type", str(error), "inputs", name))
    return fixed, moving, complaints


def _with_defaults(api: str, fixed: Mapping[str, Any], node: Node, connection: Connection) -> dict[str, Any]:
    left_out = {name for name, value in node.inputs.items() if value is None}
    defaults = {name: value for name, value in DEFAULTS[api].items() if name not in left_out}
    if api == "chat" and connection.TYPE == "azure_open_ai":
        defaults["n"] = 1
    given = {name: value for name, value in fixed.items() if name not in MODEL_NAMES}
    return {name: value for name, value in {**defaults, **given}.items() if value is not None}


def _model_name(node: Node, connection: Connection) -> str | None:
    """Which input names the model; Azure's word comes first for Azure's connections."""
    names = MODEL_NAMES if connection.TYPE == "azure_open_ai" else MODEL_NAMES[::-1]
    return next((name for name in names if node.inputs.get(name)), None)


def _literal_model(node: Node, connection: Connection) -> str | None:
    """The model that the node names, if it stands in the flow's file."""
    value = node.inputs.get(_model_name(node, connection) or "")
    return value if isinstance(value, str) else None


def _model_complaints(node: Node, connection: Connection, at: Place) -> list[Diagnostic]:
    is_named = any(node.inputs.get(name) for name in MODEL_NAMES) or connection.get("model")
    if connection.TYPE != "azure_open_ai" or is_named:
        return []
    message = f"node {node.name!r} names no deployment, and connection {connection.name!r} has no 'model'"
    return [at.complaint("missing-argument", message, "inputs", hint="set inputs.deployment_name")]
