"""What is wrong with a flow that can be read? Every static rule; complaints come back, nothing is raised.

No user code is imported: scripts are read as syntax trees, templates are compiled and not rendered.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from operator import attrgetter
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, near_miss
from promptflow_lite.flow.environment import has_no_effect
from promptflow_lite.flow.graph import cycles, order
from promptflow_lite.flow.includes import check_includes
from promptflow_lite.flow.prompty import check_prompt
from promptflow_lite.flow.refs import Ref
from promptflow_lite.flow.source import KeyPath
from promptflow_lite.flow.sources import check_source
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.flow.types import coerce
from promptflow_lite.flow.variants import choose_variants

__all__ = ["check"]

_NAME = re.compile(r"\w[\w \-]{0,99}")
_RESERVED = {"inputs": "${inputs.x}", "flow": "${flow.x}"}
_IGNORED_FLOW_KEYS = {"tools": "Prompt flow generates it", "version": "it says nothing to the engine"}
_IGNORED_NODE_KEYS = {
    "enable_cache": "nothing is cached, as in Prompt flow",
    "skip": "write 'activate' instead",
}


def check(flow: Flow, connections: Collection[str] | None = None) -> list[Diagnostic]:
    """Every complaint about `flow`, errors and warnings, in the order of its lines.

    Nodes that use variants are checked with each of their variants.

    Args:
        flow: any flow, before or after its variants are chosen.
        connections: the names of those that exist; `None` leaves connections unchecked.
    """
    found: dict[Diagnostic, None] = {}
    try:
        chosen = choose_variants(flow, {})
    except FlowError as error:
        return sorted((*error.diagnostics, *_rules(flow, connections)), key=attrgetter("place"))
    found |= dict.fromkeys(_rules(chosen, connections))
    for choice in _other_choices(flow):
        complaints = _rules(choose_variants(flow, choice), connections)
        found |= dict.fromkeys(c for c in complaints if c.severity == "error")
    return sorted(found, key=attrgetter("place"))


def _other_choices(flow: Flow) -> Iterator[Mapping[str, str]]:
    """One node at a time, every variant that is not its default."""
    for node in flow.nodes:
        if node.use_variants:
            variants = flow.node_variants[node.name]
            yield from (
                {node.name: name} for name in variants.variants if name != variants.default_variant_id
            )


def _rules(flow: Flow, connections: Collection[str] | None) -> Iterator[Diagnostic]:
    yield from _names(flow)
    yield from _references(flow)
    yield from _aggregation(flow)
    circles = cycles(flow)
    yield from circles
    yield from check_includes(flow)
    for index, node in enumerate(flow.nodes):
        if not node.use_variants:  # else its variant could not be chosen, and there is no body to look at
            yield from check_source(flow, index, connections)
        if node.type == "prompty":
            yield from check_prompt(flow, connections)
        elif node.type == "flex" and not node.aggregation:
            yield from _unread(flow, node)
    yield from _defaults(flow)
    yield from _chat(flow)
    yield from _unused(flow)
    if not circles:
        yield from _bypassed(flow)
    yield from _ignored(flow)


def _unread(flow: Flow, node: Node) -> Iterator[Diagnostic]:
    """Where only importing the entry tells what it takes."""
    if node.settings.signature is None and not flow.inputs:
        message = f"what {node.settings.name!r} takes cannot be read without importing it"
        hint = "declare inputs, so that data can be mapped to them"
        yield Diagnostic("entry-not-read", message, flow.at("entry"), hint, severity="warning")


def _names(flow: Flow) -> Iterator[Diagnostic]:
    seen: dict[str, int] = {}
    for index, node in enumerate(flow.nodes):
        mark = flow.at("nodes", index, "name")
        if node.name in seen:
            line = flow.at("nodes", seen[node.name], "name").line
            message = f"two nodes are named {node.name!r}; the first stands in line {line}"
            yield Diagnostic("duplicate-node", message, mark)
        elif node.name in _RESERVED:
            message = f"no node may be named {node.name!r}: {_RESERVED[node.name]} is an input of the flow"
            yield Diagnostic("reserved-name", message, mark)
        elif not _NAME.fullmatch(node.name):
            hint = "letters, digits, '_', '-' and spaces, at most 100"
            yield Diagnostic("bad-name", f"{node.name!r} is no name for a node", mark, hint)
        seen.setdefault(node.name, index)


def _references(flow: Flow) -> Iterator[Diagnostic]:
    names = [node.name for node in flow.nodes]
    for ref, path in _all_references(flow):
        if ref.scope == "inputs" and ref.name not in flow.inputs:
            message = f"the flow has no input {ref.name!r}"
            yield Diagnostic("unknown-input", message, flow.at(*path), _input_hint(flow, ref.name))
        elif ref.scope == "node" and ref.name not in names:
            hint = near_miss(ref.name, names)
            if ref.name in flow.inputs:
                hint = f"an input of the flow is '${{inputs.{ref.name}}}'"
            yield Diagnostic("unknown-node", f"no node is named {ref.name!r}", flow.at(*path), hint)


def _all_references(flow: Flow) -> Iterator[tuple[Ref, KeyPath]]:
    for index, node in enumerate(flow.nodes):
        for name, ref in node.refs().items():
            yield ref, ("nodes", index, "inputs", name)
        if node.activate is not None and isinstance(node.activate.when, Ref):
            yield node.activate.when, ("nodes", index, "activate", "when")
    for name, output in flow.outputs.items():
        if isinstance(output.reference, Ref):
            yield output.reference, ("outputs", name, "reference")


def _input_hint(flow: Flow, name: str) -> str | None:
    head = re.split(r"[.\[]", name)[0]
    if head != name and head in flow.inputs:
        return f"{head!r} is an input; what is inside it cannot be referenced, only the whole"
    return near_miss(name, flow.inputs)


def _aggregation(flow: Flow) -> Iterator[Diagnostic]:
    once = {node.name for node in flow.nodes if node.aggregation}
    every = {node.name for node in flow.nodes}
    for index, node in enumerate(flow.nodes):
        when = node.activate.when if node.activate is not None else None
        refs: dict[KeyPath, Any] = {("inputs", name): ref for name, ref in node.refs().items()}
        refs[("activate", "when")] = when
        for path, ref in refs.items():
            if not isinstance(ref, Ref) or ref.scope != "node" or ref.name not in every:
                continue
            mark = flow.at("nodes", index, *path)
            if not node.aggregation and ref.name in once:
                message = f"{ref.name!r} runs once, after all lines; a node of a line cannot read it"
                yield Diagnostic("line-reads-aggregation", message, mark, "aggregation: true, here too?")
            if node.aggregation and path[0] == "activate" and ref.name not in once:
                message = "an aggregation node is activated by flow inputs and aggregation nodes only"
                yield Diagnostic("aggregation-activate", message, mark)
    for name, output in flow.outputs.items():
        if (
            isinstance(output.reference, Ref)
            and output.reference.scope == "node"
            and output.reference.name in once
        ):
            message = f"{output.reference.name!r} runs once, after all lines: this output is left out"
            mark = flow.at("outputs", name, "reference")
            yield Diagnostic(
                "line-reads-aggregation", message, mark, "log_metric shows it", severity="warning"
            )


def _defaults(flow: Flow) -> Iterator[Diagnostic]:
    for name, spec in flow.inputs.items():
        if spec.default is None:
            continue
        try:
            coerce(spec.default, spec.type)
        except ValueError as error:
            yield Diagnostic("wrong-type", str(error), flow.at("inputs", name, "default"))


def _chat(flow: Flow) -> Iterator[Diagnostic]:
    chat_inputs = [name for name, spec in flow.inputs.items() if spec.is_chat_input]
    chat_outputs = [name for name, spec in flow.outputs.items() if spec.is_chat_output]
    for path, key, names in (
        ("inputs", "is_chat_input", chat_inputs),
        ("outputs", "is_chat_output", chat_outputs),
    ):
        for name in names[1:]:
            message = f"{names[0]!r} is the chat {path[:-1]} already; a flow has one"
            yield Diagnostic("two-chat-fields", message, flow.at(path, name, key), severity="warning")


def _unused(flow: Flow) -> Iterator[Diagnostic]:
    read = {ref.name for ref, _ in _all_references(flow) if ref.scope == "node"}
    for index, node in enumerate(flow.nodes):
        if node.name not in read and not node.aggregation:
            message = f"nothing reads the output of {node.name!r}; it runs for every line all the same"
            yield Diagnostic("unused-node", message, flow.at("nodes", index, "name"), severity="warning")


def _bypassed(flow: Flow) -> Iterator[Diagnostic]:
    may_be = _may_be_bypassed(flow)
    for name, output in flow.outputs.items():
        ref = output.reference
        if isinstance(ref, Ref) and ref.scope == "node" and ref.name in may_be:
            message = f"{ref.name!r} may be bypassed; then this output is null"
            hint = "a node that reads all the alternatives gives the one that ran"
            mark = flow.at("outputs", name, "reference")
            yield Diagnostic("output-may-be-bypassed", message, mark, hint, severity="warning")


def _may_be_bypassed(flow: Flow) -> set[str]:
    """Nodes with `activate`, and those with one source only, which is such a node.

    Two such sources are taken for alternatives, of which one runs.
    """
    nodes: dict[str, Node] = {node.name: node for node in flow.nodes}
    found: set[str] = set()
    for name in order(flow):
        node = nodes[name]
        sources = {ref.name for ref in node.refs().values() if ref.scope == "node"}
        if node.activate is not None or (len(sources) == 1 and sources <= found):
            found.add(name)
    return found


def _ignored(flow: Flow) -> Iterator[Diagnostic]:
    """The keys of Prompt flow that have no effect, where the author may expect one."""
    data = flow.document.data if isinstance(flow.document.data, dict) else {}
    for key, why in _IGNORED_FLOW_KEYS.items():
        if data.get(key):
            yield _not_supported(flow, f"{key!r} is ignored: {why}", key)
    for name in filter(has_no_effect, flow.environment_variables):
        message = f"{name!r} is ignored: a flow does not set how it is run"
        yield _not_supported(flow, message, "environment_variables", name)
    for name, spec in flow.inputs.items():
        if spec.type == "assistant_definition":
            yield _not_supported(
                flow, "assistants are not supported; the value is passed as it is", "inputs", name
            )
    for index, body in enumerate(data.get("nodes") or ()):
        for key, why in _IGNORED_NODE_KEYS.items():
            if isinstance(body, dict) and body.get(key):
                yield _not_supported(flow, f"{key!r} is ignored: {why}", "nodes", index, key)


def _not_supported(flow: Flow, message: str, *path: str | int) -> Diagnostic:
    return Diagnostic("not-supported", message, flow.at(*path), severity="warning")
