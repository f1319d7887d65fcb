"""Where does the text of a registered prompt come from? What the flow holds already, else the registry."""

from __future__ import annotations

from collections.abc import Mapping

from promptflow_lite.errors import Diagnostic, FlowError, UserError
from promptflow_lite.flow.registered import LOCK, Registered, Wanted, unlock, wanted
from promptflow_lite.flow.spec import Flow
from promptflow_lite.registry import Registry

__all__ = ["fetched"]


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
