"""What does a prompt node call? Its template, which gives text that keeps the author's role marks."""

from __future__ import annotations

from typing import Any

from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.errors import Diagnostic, FlowError, near_miss
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.prompts.chat import compile_chat
from promptflow_lite.tools.place import place_of
from promptflow_lite.tools.tool import Made, Tool

__all__ = ["make", "template_of"]


def make(node: Node, flow: Flow, connections: ConnectionProvider) -> Made:
    """The tool of a prompt node.

    Raises:
        FlowError: the template is not there, or is no template.
    """
    text, file = template_of(node, flow)
    template = compile_chat(text, file)

    def render(**values: Any) -> str:
        return template.render_text(values)

    return Made(
        Tool(node.name, render, {}, mode="inline", accepts_extra=True, description=f"the template {file}")
    )


def template_of(node: Node, flow: Flow) -> tuple[str, str]:
    """The text of a node's template and the file it stands in, or what it is registered as.

    Raises:
        FlowError: there is no such file (`source-not-found`), or it is no UTF-8 text (`not-text`).
    """
    mark = place_of(node, flow).mark("source", "path")
    name = node.source.path if node.source and node.source.path else ""
    if name in flow.prompts:
        return flow.prompts[name].text, flow.prompts[name].uri
    path = (flow.folder / name).absolute()
    try:
        return path.read_text(encoding="utf-8-sig"), str(path)
    except OSError as error:
        known = [file.name for file in flow.folder.glob("*.jinja2")]
        raise FlowError(
            [Diagnostic("source-not-found", f"there is no file {name!r}", mark, near_miss(name, known))]
        ) from error
    except UnicodeDecodeError as error:
        raise FlowError([Diagnostic("not-text", f"{name!r} is no UTF-8 text: {error}", mark)]) from error
