"""Does each node have a source that stands in the flow, and that fits the node's inputs?

No user code is imported. What a run may still fill in, such as a connection that is left empty, is a warning.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from promptflow_lite.errors import Diagnostic, FlowError, UserError, near_miss
from promptflow_lite.flow.builtin import MODULES, PROVIDERS, unknown_built_in
from promptflow_lite.flow.includes import locate
from promptflow_lite.flow.parameters import APIS, takes_prompt
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.registered import TYPES, wanted
from promptflow_lite.flow.scripts import ScriptTool, read_script
from promptflow_lite.flow.source import read_text
from promptflow_lite.flow.spec import Flow, Node

__all__ = ["check_source"]

Severity = Literal["error", "warning"]

_EXTENSIONS = {"llm": "*.jinja2", "prompt": "*.jinja2", "custom_llm": "*.jinja2", "python": "*.py"}


def check_source(flow: Flow, index: int, connections: Collection[str] | None) -> list[Diagnostic]:
    """Every complaint about the source of a node, and about its inputs as far as the source tells.

    Args:
        flow: the node's flow.
        index: the node's place in it.
        connections: the names of those that exist; `None` if that is not known.
    """
    if flow.nodes[index].settings is not None:
        return []  # the front end that made the node has looked at its source
    return list(_Checker(flow, index, connections).run())


@dataclass(frozen=True)
class _Checker:
    flow: Flow
    index: int
    connections: Collection[str] | None

    @property
    def node(self) -> Node:
        return self.flow.nodes[self.index]

    def complaint(
        self, code: str, message: str, *path: str, hint: str | None = None, severity: Severity = "error"
    ) -> Diagnostic:
        return Diagnostic(code, message, self.flow.at("nodes", self.index, *path), hint, severity)

    def run(self) -> Iterator[Diagnostic]:
        yield from self.connection(self.node.connection, "connection")
        source = self.node.source
        needs = _needs(self.node)
        lacking = [key for key in needs if source is None or not getattr(source, key)]
        if lacking:
            path = ("source",) if source else ()
            yield self.complaint(
                "missing-source", f"node {self.node.name!r} needs source.{lacking[0]}", *path
            )
        elif source is not None and source.path is not None and "path" in needs:
            yield from self.file(source.path)
        if source is not None and source.tool is not None and "tool" in needs:
            yield from self.package_tool(source.tool)
        yield from self.model_tool()
        if self.node.type == "llm" and self.node.api not in (None, *APIS):
            message = f"api is one of {', '.join(APIS)}, got {self.node.api!r}"
            yield self.complaint("unknown-api", message, "api", hint=near_miss(self.node.api or "", APIS))

    def connection(self, name: Any, *path: str) -> Iterator[Diagnostic]:
        if self.connections is None or not isinstance(name, str) or not name:
            return
        if name not in self.connections and name != "local":
            hint = near_miss(name, self.connections) or "'pf connection list' shows those that exist"
            yield self.complaint("unknown-connection", f"no connection is named {name!r}", *path, hint=hint)

    def package_tool(self, tool_id: str) -> Iterator[Diagnostic]:
        """Prompt flow's own tools are known by name; other packages are asked when the flow is bound."""
        wrong = None if self.node.type == "retrieval" else unknown_built_in(tool_id)
        if wrong is not None:
            code, message, hint = wrong
            yield self.complaint(code, message, "source", "tool", hint=hint)

    def model_tool(self) -> Iterator[Diagnostic]:
        """`module` and `provider` of an llm node change nothing; one that cannot be right is said."""
        module, provider = self.node.module, self.node.provider
        if self.node.type != "llm":
            return
        if module is not None and module not in MODULES:
            severity: Severity = "error" if module.startswith("promptflow.") else "warning"
            message = f"Prompt flow has no module {module!r} of model tools"
            hint = near_miss(module, MODULES) or "leave it out: the connection decides"
            yield self.complaint("unknown-module", message, "module", hint=hint, severity=severity)
        if provider is not None and provider not in PROVIDERS:
            message = f"{provider!r} is no provider of models; the connection decides"
            hint = near_miss(provider, PROVIDERS) or f"one of {', '.join(PROVIDERS)}, or leave it out"
            yield self.complaint("unknown-provider", message, "provider", hint=hint, severity="warning")

    def registered(self, path: str) -> Iterator[Diagnostic]:
        """A prompt of a registry: what it says is known once it was fetched."""
        try:
            wanted(path)
        except UserError as error:
            yield self.complaint(error.code, error.message, "source", "path", hint=error.hint)
            return
        if self.node.type not in TYPES:
            message = f"a {self.node.type} node runs a file of the flow, not a registered prompt"
            yield self.complaint("bad-prompt-uri", message, "source", "path")
        elif (prompt := self.flow.prompts.get(path)) is not None:
            try:
                yield from self.template(prompt.text, prompt.uri)
            except FlowError as error:
                yield from error.diagnostics

    def file(self, path: str) -> Iterator[Diagnostic]:
        if path.startswith("prompts:"):
            yield from self.registered(path)
            return
        if Path(path).is_absolute() or posixpath.normpath(path).startswith(".."):
            hint: str | None = "additional_includes brings files from elsewhere into the flow"
            yield self.complaint(
                "path-outside-flow", f"{path!r} leaves the flow's folder", "source", "path", hint=hint
            )
            return
        found = locate(self.flow, path)
        if found is None:
            hint = near_miss(path, _siblings(self.flow.folder, _EXTENSIONS.get(self.node.type, "*")))
            yield self.complaint(
                "source-not-found", f"there is no file {path!r}", "source", "path", hint=hint
            )
            return
        shown = str(Path(self.flow.document.file).parent / path)
        check: Callable[[str, str], Iterator[Diagnostic]] = (
            self.script if self.node.type == "python" else self.template
        )
        try:
            yield from check(read_text(found, shown=shown), shown)
        except FlowError as error:
            yield from error.diagnostics

    def script(self, text: str, shown: str) -> Iterator[Diagnostic]:
        script = read_script(text, shown)
        if len(script.tools) == 1 and script.is_certain:
            yield from self.arguments(script.tools[0])
        elif script.is_certain and not script.tools:
            hint = "write @tool above the function; 'from promptflow_lite import tool'"
            yield self.complaint("no-tool", f"{shown} defines no @tool function", "source", "path", hint=hint)
        elif script.is_certain:
            names = ", ".join(tool.name for tool in script.tools)
            lines = ", ".join(str(tool.line) for tool in script.tools)
            message = f"{shown} defines several @tool functions: {names}; expected one"
            yield self.complaint("many-tools", message, "source", "path", hint=f"lines {lines}")

    def arguments(self, tool: ScriptTool) -> Iterator[Diagnostic]:
        given = {name: value for name, value in self.node.inputs.items() if _is_given(value)}
        for name, value in given.items():
            if name in tool.connections:
                yield from self.connection(value, "inputs", name)
            if name in tool.assistants:
                message = "assistants are not supported"
                hint = "ask the model in an llm node, with 'tools'"
                yield self.complaint("not-supported", message, "inputs", name, hint=hint)
            if name not in tool.params and not tool.accepts_extra:
                hint = near_miss(name, tool.params) or f"it takes: {', '.join(tool.params) or 'nothing'}"
                message = f"the tool {tool.name!r} has no parameter {name!r}"
                yield self.complaint("unknown-parameter", message, "inputs", name, hint=hint)
        for name in (p for p in tool.params if p in tool.required and p not in given):
            yield self.missing_argument(tool, name)

    def missing_argument(self, tool: ScriptTool, name: str) -> Diagnostic:
        """An error, or a warning for what `--connections` of a run may give."""
        is_empty = name in self.node.inputs
        severity: Severity = "warning" if is_empty or name in tool.connections else "error"
        state = "is left empty" if is_empty else "is not in the node's inputs"
        message = f"the tool {tool.name!r} needs {name!r}, which {state}"
        path = ("inputs", name) if is_empty else ("inputs",)
        return self.complaint("missing-argument", message, *path, severity=severity)

    def template(self, text: str, shown: str) -> Iterator[Diagnostic]:
        from promptflow_lite.prompts.chat import compile_chat  # noqa: PLC0415  # heavy: jinja2, 40 ms

        chat = compile_chat(text, shown)
        yield from self.variables(chat.variables, shown)
        if (
            self.node.type == "llm"
            and self.node.api in (None, "chat")
            and not (chat.has_roles or chat.variables)
        ):
            hint = "a chat prompt has role lines such as 'system:' and 'user:', each alone on its line"
            yield self.complaint(
                "chat-without-role", f"{shown} opens no message", "source", "path", hint=hint
            )

    def variables(self, names: frozenset[str], shown: str) -> Iterator[Diagnostic]:
        """Prompt nodes and llm nodes: what the template reads against what the node gives."""
        if self.node.type == "custom_llm":
            return  # the tool has parameters of its own, which only its import tells
        if self.node.type == "llm" and takes_prompt(self.node.inputs, names):
            return  # the template is not used, and the prompt that takes its place is read at run time
        parameters = (
            APIS.get(self.node.api or "chat", frozenset()) if self.node.type == "llm" else frozenset()
        )
        for name in sorted(names & parameters):
            message = f"{shown} reads {name!r}, which is a parameter of the call"
            yield self.complaint(
                "reserved-name", message, "source", "path", hint="give the variable another name"
            )
        for name in sorted(names - parameters - set(self.node.inputs)):
            unused = [given for given in self.node.inputs if given not in names | parameters]
            message = f"{shown} reads {name!r}, which is not in the node's inputs"
            yield self.complaint(
                "template-variable-unset", message, "inputs", hint=near_miss(name, unused), severity="warning"
            )
        for name in self.node.inputs:
            if name not in names and name not in parameters:
                hint = near_miss(name, (names | parameters) - set(self.node.inputs))
                message = f"{shown} does not read {name!r}"
                yield self.complaint(
                    "input-unused-in-template", message, "inputs", name, hint=hint, severity="warning"
                )


def _needs(node: Node) -> tuple[str, ...]:
    """The keys of `source` that a node of its kind cannot do without."""
    match node.type:
        case "llm" | "prompt":
            return ("path",)
        case "custom_llm":
            return ("tool", "path")
        case "python":
            return ("tool",) if node.source is not None and node.source.type == "package" else ("path",)
        case _:
            return ("tool",)


def _is_given(value: Any) -> bool:
    return isinstance(value, Ref) or (value is not None and value != "")


def _siblings(folder: Path, pattern: str) -> list[str]:
    return [
        path.relative_to(folder).as_posix() for path in (*folder.glob(pattern), *folder.glob(f"*/{pattern}"))
    ]
