"""What does a node with a package tool call? A function of an installed package or of the flow's folder.

A tool's id is looked up among the plugins of `promptflow_lite.tools`, then among Prompt flow's
`package_tools` (a function that returns the tools' descriptions by id), then taken as the dotted path of a
function or method. An id `KIND:PATH` is left to the plugin `KIND` of `promptflow_lite.tool_sources`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Protocol

from promptflow_lite import aliases
from promptflow_lite.connections.base import ConnectionProvider
from promptflow_lite.errors import Diagnostic, FlowError, Mark, near_miss
from promptflow_lite.flow.builtin import unknown_built_in
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.registry import Registry
from promptflow_lite.tools import frames
from promptflow_lite.tools.home import Home
from promptflow_lite.tools.place import place_of
from promptflow_lite.tools.prompt import template_of
from promptflow_lite.tools.python import of_function, of_provider
from promptflow_lite.tools.tool import Made, Tool, mark_of

__all__ = ["MakeOf", "make", "refusal_of"]


class MakeOf(Protocol):
    """What the group `promptflow_lite.tool_sources` holds."""

    def __call__(self, path: str, node: Node, flow: Flow, connections: ConnectionProvider) -> Made:
        """What a node calls whose `source.tool` is `KIND:path`; asked for when the flow is bound.

        Raises:
            UserError: what the flow's author can mend.
        """
        ...


_OURS = {
    "embedding": "llm.embedding",
    "promptflow.tools.embedding.embedding": "llm.embedding",
}
"""Prompt flow's built-in tools that this house has, by the name of the plugin that does the same."""

_RENAMED = {"content_safety_text.tools.content_safety_text_tool.": "promptflow.tools.azure_content_safety."}
"""What tools were called in packages that are gone."""


def refusal_of(tool_id: str) -> str | None:
    """What to use in the place of a tool of Prompt flow that this house has not; `None` for any other."""
    wrong = unknown_built_in(tool_id)
    return wrong[2] or wrong[1] if wrong is not None else None


def make(node: Node, flow: Flow, connections: ConnectionProvider) -> Made:
    """The tool of a node whose source is a package; a `custom_llm` node's tool gets the text of its prompt.

    Raises:
        FlowError: no tool has that id (`unknown-tool`), Prompt flow has it and this house has not
            (`tool-not-supported`), or its package cannot be imported (`import-failed`).
    """
    mark = place_of(node, flow).mark("source", "tool")
    tool_id = node.source.tool if node.source and node.source.tool else ""
    aliases.install()
    kind, colon, path = tool_id.partition(":")
    if colon and kind in Registry("tool_sources").names():
        make_of: MakeOf = Registry("tool_sources").get(kind)
        return make_of(path, node, flow, connections)
    with Home(flow.folder):
        function, provider = _find(tool_id, mark)
    tool = (
        of_function(function)
        if provider is None
        else of_provider(provider, function, node, flow, connections)
    )
    return Made(_with_prompt(tool, node, flow, mark) if node.type == "custom_llm" else tool)


def _find(tool_id: str, mark: Mark) -> tuple[Callable[..., Any], type | None]:
    for old, new in _RENAMED.items():
        tool_id = f"{new}{tool_id[len(old) :]}" if tool_id.startswith(old) else tool_id
    ours = Registry("tools")
    name = _OURS.get(tool_id, tool_id)
    if name in ours.names():
        return _one_of(ours.get(name), name, mark), None
    wrong = unknown_built_in(tool_id)
    if wrong is not None:
        code, message, hint = wrong
        raise _wrong(code, message, mark, hint)
    described = _package_tools(mark)
    if tool_id in described:
        about = described[tool_id]
        module = _import(str(about["module"]), mark)
        return _member(
            module, [n for n in (about.get("class_name"), about.get("function")) if n], tool_id, mark
        )
    parts = tool_id.split(".")
    if len(parts) < 2:
        known = [*ours.names(), *described, *_OURS]
        raise _wrong(
            "unknown-tool", f"no installed package has a tool {tool_id!r}", mark, near_miss(tool_id, known)
        )
    return _by_path(tool_id, parts, mark, [*ours.names(), *described])


def _by_path(
    tool_id: str, parts: list[str], mark: Mark, known: list[str]
) -> tuple[Callable[..., Any], type | None]:
    """`pkg.module.function` or `pkg.module.Class.method`."""
    for cut in (len(parts) - 1, len(parts) - 2):
        name = ".".join(parts[:cut])
        if name and _exists(name):
            return _member(_import(name, mark), parts[cut:], tool_id, mark)
    hint = near_miss(tool_id, known) or "is its package installed?"
    raise _wrong("unknown-tool", f"no installed package has a tool {tool_id!r}", mark, hint)


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _member(
    module: ModuleType, path: list[str], tool_id: str, mark: Mark
) -> tuple[Callable[..., Any], type | None]:
    owner: Any = module
    provider: type | None = None
    for name in path:
        found = getattr(owner, name, None)
        if found is None:
            names = [n for n in vars(owner) if not n.startswith("_")]
            raise _wrong(
                "unknown-tool",
                f"{tool_id!r}: {name!r} is not in {owner.__name__}",
                mark,
                near_miss(name, names),
            )
        provider = owner if isinstance(owner, type) else None
        owner = found
    if not callable(owner) or isinstance(owner, type):
        raise _wrong("unknown-tool", f"{tool_id!r} is no function", mark)
    return owner, provider


def _one_of(plugin: Any, name: str, mark: Mark) -> Callable[..., Any]:
    """A plugin is a function, or a module of one marked function."""
    if not isinstance(plugin, ModuleType):
        function: Callable[..., Any] = plugin
        return function
    found = [value for value in vars(plugin).values() if mark_of(value) is not None]
    if len(found) != 1:
        raise _wrong(
            "unknown-tool", f"the plugin {name!r} has {len(found)} @tool functions; expected one", mark
        )
    one: Callable[..., Any] = found[0]
    return one


def _package_tools(mark: Mark) -> dict[str, Mapping[str, Any]]:
    """What Prompt flow's tool packages say they have: id to description."""
    described: dict[str, Mapping[str, Any]] = {}
    for point in entry_points(group="package_tools"):
        described.update(
            frames.guarded(
                lambda point=point: point.load()(),  # type: ignore[misc]  # mypy cannot infer the default's type
                lambda error, said, point=point: _wrong(  # type: ignore[misc]
                    "import-failed", f"the tool package {point.name!r} ({point.value}) {said}", mark
                ),
            )
        )
    return described


def _import(name: str, mark: Mark) -> ModuleType:
    return frames.guarded(
        lambda: importlib.import_module(name),
        lambda error, said: _wrong(
            "import-failed", f"importing {name!r} {said}", frames.mark_of(error, default=mark)
        ),
    )


def _with_prompt(tool: Tool, node: Node, flow: Flow, mark: Mark) -> Tool:
    """The tool with the node's prompt given to its `PromptTemplate` parameter, as Prompt flow does."""
    text, _ = template_of(node, flow)
    name = next((p.name for p in tool.params.values() if p.type == "prompt_template"), None)
    if name is None and "prompt_template" in tool.params:
        name = "prompt_template"
    if name is None:
        raise _wrong(
            "no-prompt-parameter", f"the tool {tool.name!r} has no parameter of type PromptTemplate", mark
        )
    rest = {param: spec for param, spec in tool.params.items() if param != name}
    return Tool(
        tool.name, partial(tool.call, **{name: text}), rest, tool.mode, tool.accepts_extra, tool.description
    )


def _wrong(code: str, message: str, mark: Mark, hint: str | None = None) -> FlowError:
    return FlowError([Diagnostic(code, message, mark, hint)])
