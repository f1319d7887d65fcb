"""What does a registered prompt give a node? A text, of the flow or the registry; defaults of the call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptflow_lite.errors import Diagnostic, FlowError, UserError
from promptflow_lite.flow.registered import LOCK, Registered, Wanted, unlock, wanted
from promptflow_lite.flow.spec import Flow, Node
from promptflow_lite.registry import Registry
from promptflow_lite.tools.parameters import CHAT, COMPLETION, MODEL_NAMES

__all__ = ["defaults", "fetched", "prompt_of", "with_defaults"]

_ALIKE = (MODEL_NAMES, ("max_tokens", "max_completion_tokens"))
"""Parameters of which a call has one: a node that gives either has said it."""


def fetched(flow: Flow, known: Mapping[str, Registered] | None = None) -> Flow:
    """The flow with the text of every registered prompt that its nodes name.

    A name that is wrong is left for `flow.check`.

    Args:
        flow: its variants chosen.
        known: by name, prompts that need not be asked for; over those of the flow's own lock file.

    Raises:
        FlowError: a prompt is not there, or the registry cannot be reached; a complaint for each node.
    """
    asked = _asked(flow)
    if not asked or asked.keys() <= flow.prompts.keys():
        return flow
    held = {**unlock(flow.folder / LOCK), **(known or {}), **flow.prompts}
    found: dict[str, Registered] = {}
    complaints: list[Diagnostic] = []
    for uri, (prompt, index) in asked.items():
        try:
            found[uri] = held[uri] if uri in held else _fetch(prompt)
        except UserError as error:
            mark = flow.at("nodes", index, "source", "path")
            complaints.append(Diagnostic(error.code, error.message, mark, error.hint))
    if complaints:
        raise FlowError(complaints)
    return flow.derive(prompts=found)


def with_defaults(flow: Flow) -> tuple[Flow, tuple[str, ...]]:
    """The flow whose `llm` nodes have what was registered with their prompts, and notes on what is left out.

    Args:
        flow: its prompts fetched, and what the run says of its nodes put in.

    Raises:
        FlowError: a registered parameter is none of its kind (`bad-registered-prompt`).
    """
    nodes: list[Node] = []
    notes: list[str] = []
    complaints: list[Diagnostic] = []
    for index, node in enumerate(flow.nodes):
        prompt = prompt_of(node, flow.prompts)
        if prompt is None or not prompt.parameters:
            nodes.append(node)
            continue
        known = _known(node)
        found = defaults(node, prompt)
        for name, value in found.items():
            try:
                known[name](value)
            except ValueError as error:
                mark = flow.at("nodes", index, "source", "path")
                message = f"{prompt.uri} is registered with a {name} that is none: {error}"
                complaints.append(Diagnostic("bad-registered-prompt", message, mark))
        if unknown := [name for name in prompt.parameters if name not in known]:
            api = node.api or "chat"
            notes.append(f"{prompt.uri}: left out, no parameter of a {api} call: {', '.join(unknown)}")
        nodes.append(node.derive(inputs={**node.inputs, **found}))
    if complaints:
        raise FlowError(complaints)
    return flow.derive(nodes=tuple(nodes)), tuple(notes)


def defaults(node: Node, prompt: Registered) -> dict[str, Any]:
    """The parameters registered with its prompt of which the node's inputs say nothing, not even `null`."""
    said = {name for name, value in node.inputs.items() if value != ""}
    said.update(name for alike in _ALIKE if said.intersection(alike) for name in alike)
    known = _known(node)
    return {name: value for name, value in prompt.parameters.items() if name in known and name not in said}


def prompt_of(node: Node, prompts: Mapping[str, Registered]) -> Registered | None:
    """The registered prompt that an `llm` node sends, among those that the flow was given."""
    if node.type != "llm" or node.source is None or node.source.path is None:
        return None
    return prompts.get(node.source.path)


def _known(node: Node) -> dict[str, Any]:
    return {**(COMPLETION if node.api == "completion" else CHAT), **dict.fromkeys(MODEL_NAMES, str)}


def _fetch(prompt: Wanted) -> Registered:
    found: Registered = Registry("prompt_registries").get("mlflow").fetch(prompt)
    return found


def _asked(flow: Flow) -> dict[str, tuple[Wanted, int]]:
    """By name, each prompt and the first node that names it."""
    found: dict[str, tuple[Wanted, int]] = {}
    for index, node in enumerate(flow.nodes):
        try:
            prompt = wanted(node.source.path) if node.source is not None else None
        except UserError:
            continue
        if prompt is not None:
            found.setdefault(prompt.uri, (prompt, index))
    return found
